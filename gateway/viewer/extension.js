// This site's extension of OHIF: hanging protocol, windows, findings over the pictures, and the panel beside them.
import { begin } from "./overlay.js";
import { register as registerProtocol } from "./protocol.js";
import { register as registerWindows } from "./windows.js";

const PANEL = "./panel.js"; // exports mount(element, { studyInstanceUID, servicesManager, findings })
let findings;

export default {
  id: "@senogate/extension",
  version: "1.0.0",

  preRegistration({ servicesManager }) {
    const { hangingProtocolService, displaySetService } = servicesManager.services;
    const { cornerstone } = window; // OHIF's extension for it makes it known
    registerProtocol(hangingProtocolService);
    registerWindows(cornerstone);
    findings = begin({ displaySetService, cornerstone });
  },

  getCommandsModule() {
    const toggleFindings = () => findings.show(!findings.isShown());
    return { defaultContext: "CORNERSTONE", definitions: { toggleFindings: { commandFn: toggleFindings } } };
  },

  getPanelModule({ servicesManager }) {
    return [
      {
        name: "senogate",
        iconName: "tab-patient-info",
        iconLabel: "AI",
        label: "AI, research use only",
        component: panel(servicesManager),
      },
    ];
  },
};

/** A component that leaves its element to panel.js; what `mount` returns is called when the element goes. */
function panel(servicesManager) {
  let unmount;
  const take = async (place) => {
    unmount?.();
    unmount = undefined;
    if (!place) return;
    const { mount } = await import(PANEL);
    const studyInstanceUID = new URLSearchParams(window.location.search).get("StudyInstanceUIDs")?.split(",")[0];
    if (place.isConnected) unmount = mount(place, { studyInstanceUID, servicesManager, findings });
  };
  const props = { className: "h-full overflow-auto text-white", "data-cy": "senogate-panel" };
  return () => element("div", take, props);
}

/** An element as React 18 makes it: OHIF's own React is not to be had from outside. */
function element(type, ref, props) {
  return { $$typeof: Symbol.for("react.element"), type, key: null, ref, props, _owner: null };
}
