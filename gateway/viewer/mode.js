// The mode in which a study is read: OHIF's basic one, with this site's hanging protocol, findings and panel.
import { PROTOCOL } from "./protocol.js";
import { _ } from "./texts.js";

export default {
  id: "@senogate/mode-read",
  async modeFactory({ loadModules }) {
    const [basic] = await loadModules(["@ohif/mode-basic"]);
    const { modeInstance } = basic;
    const [route] = modeInstance.routes;
    const { props } = route.layoutInstance;
    return {
      ...modeInstance,
      id: "@senogate/mode-read",
      routeName: "read",
      displayName: "Read",
      hide: false,
      hangingProtocol: [PROTOCOL],
      onModeEnter(given) {
        modeInstance.onModeEnter.call(this, given);
        const key = { commandName: "toggleFindings", label: _("Show or hide findings"), keys: ["f"] };
        const { customizationService } = given.servicesManager.services;
        customizationService.setCustomizations({
          "ohif.hotkeyBindings": { $push: [key] },
          autoCineModalities: { $set: [] }, // a still ultrasound is no film
        });
      },
      routes: [
        {
          ...route,
          path: "read",
          layoutInstance: {
            ...route.layoutInstance,
            props: {
              ...props,
              leftPanelClosed: true,
              rightPanelClosed: false,
              rightPanels: ["@senogate/extension.panelModule.senogate", ...props.rightPanels],
            },
          },
        },
      ],
    };
  },
};
