// This site's extension of OHIF.
const PANEL = "/viewer/scripts/panel.js"; // exports mount(element, { studyInstanceUID, servicesManager })

export default {
  id: "@senogate/extension",
  version: "1.0.0",

  getPanelModule({ servicesManager }) {
    return [
      { name: "senogate", iconName: "tab-patient-info", iconLabel: "AI", label: "AI, research use only", component: panel(servicesManager) },
    ];
  },
};

/** A component that leaves its element to panel.js; `mount` may return what is called when the element goes. */
function panel(servicesManager) {
  let unmount;
  const take = async (element) => {
    unmount?.();
    unmount = undefined;
    if (!element) return;
    const { mount } = await import(PANEL);
    const studyInstanceUID = new URLSearchParams(window.location.search).get("StudyInstanceUIDs")?.split(",")[0];
    unmount = mount(element, { studyInstanceUID, servicesManager });
  };
  return () => element("div", take, { className: "h-full overflow-auto text-white", "data-cy": "senogate-panel" });
}

/** An element as React 18 makes it: OHIF's own React is not to be had from outside. */
function element(type, ref, props) {
  return { $$typeof: Symbol.for("react.element"), type, key: null, ref, props, _owner: null };
}
