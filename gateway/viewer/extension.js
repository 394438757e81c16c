// This site's extension of OHIF: hanging protocol, windows, findings over the pictures, and the panel beside them.
import { begin as beginOverlay } from "./overlay.js";
import { register as registerProtocol } from "./protocol.js";
import { _ } from "./texts.js";
import { begin as beginTurning } from "./turning.js";
import { begin as beginWindows } from "./windows.js";

const PANEL = "./panel.js"; // exports mount(element, { studyInstanceUID, servicesManager, findings })
const AT_ONCE = 16; // pictures that are asked for at the same time, once the first one is there
let findings;

export default {
  id: "@senogate/extension",
  version: "1.0.0",

  preRegistration({ servicesManager }) {
    const { hangingProtocolService, displaySetService } = servicesManager.services;
    const { cornerstone } = window; // OHIF's extension for it makes it known
    drawInOneContext(cornerstone);
    loadFirstAlone(cornerstone);
    registerProtocol(hangingProtocolService);
    beginWindows({ displaySetService, cornerstone });
    beginTurning({ cornerstone });
    findings = beginOverlay({ displaySetService, cornerstone });
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
        iconLabel: _("AI"),
        label: _("AI, research use only"),
        component: panel(servicesManager),
      },
    ];
  },
};

/** Viewports share one WebGL context: seven, as OHIF has them, cost twice the time where there is no GPU. */
function drawInOneContext(cornerstone) {
  const { rendering, ...others } = cornerstone.getConfiguration();
  cornerstone.setConfiguration({ ...others, rendering: { ...rendering, webGlContextCount: 1 } });
}

/** The first picture shares the connection with no other; the configuration lets only one through at first. */
function loadFirstAlone({ Enums, eventTarget, imageLoadPoolManager }) {
  const ends = [Enums.Events.IMAGE_LOADED, Enums.Events.IMAGE_LOAD_FAILED];
  const letAll = () => {
    imageLoadPoolManager.setMaxSimultaneousRequests(Enums.RequestType.Interaction, AT_ONCE);
    for (const each of ends) eventTarget.removeEventListener(each, letAll);
  };
  for (const each of ends) eventTarget.addEventListener(each, letAll);
}

/** A component: a button that hides the findings, and below it what panel.js mounts. */
function panel(servicesManager) {
  let leave;
  const take = (place) => {
    leave?.();
    leave = place && fill(place, servicesManager);
  };
  return () => element("div", take, { className: "h-full overflow-auto text-white", "data-cy": "senogate-panel" });
}

/** Fill the panel; call what this returns when its element goes. */
function fill(place, servicesManager) {
  const body = document.createElement("div");
  const [button, forget] = toggle();
  const studyInstanceUID = new URLSearchParams(window.location.search).get("StudyInstanceUIDs")?.split(",")[0];
  let unmount;
  let isGone = false;
  place.replaceChildren(button, body);
  import(PANEL).then(({ mount }) => {
    if (!isGone) unmount = mount(body, { studyInstanceUID, servicesManager, findings });
  });
  return () => {
    isGone = true;
    forget();
    unmount?.();
  };
}

/** The button, and what ends its watching. */
function toggle() {
  const button = document.createElement("button");
  const say = (isShown) => {
    button.textContent = isShown ? _("Hide findings (F)") : _("Show findings (F)");
    button.setAttribute("aria-pressed", String(isShown));
  };
  button.type = "button";
  button.style.cssText = "margin:8px;padding:4px 12px;border:1px solid #5acce6;border-radius:4px;color:#fff";
  button.addEventListener("click", () => findings.show(!findings.isShown()));
  say(findings.isShown());
  return [button, findings.watch(say)];
}

/** An element as React 18 makes it: OHIF's own React is not to be had from outside. */
function element(type, ref, props) {
  return { $$typeof: Symbol.for("react.element"), type, key: null, ref, props, _owner: null };
}
