// Keeps a mammogram turned as radiologists are used to it: when it is first shown, and after a reset of its viewport.
import { place, turns } from "./view.js";

export function begin({ cornerstone }) {
  const { ELEMENT_ENABLED, IMAGE_RENDERED } = cornerstone.Enums.Events;
  cornerstone.eventTarget.addEventListener(ELEMENT_ENABLED, ({ detail: { element } }) => {
    const { viewport } = cornerstone.getEnabledElement(element);
    let turned; // the instance that was turned last; how the reader then turns it stays
    const reset = viewport.resetCamera?.bind(viewport);
    viewport.resetCamera = (...options) => {
      turned = undefined;
      return reset(...options);
    };
    element.addEventListener(IMAGE_RENDERED, () => {
      const instance = cornerstone.metaData.get("instance", viewport.getCurrentImageId?.());
      if (!instance || instance.SOPInstanceUID === turned) return;
      turned = instance.SOPInstanceUID;
      if (place(instance)) turn(viewport, turns(instance));
    });
  });
}

/** One after the other: a viewport that is told to mirror both ways at once mirrors one. */
function turn(viewport, wanted) {
  const wrong = Object.entries(wanted).filter(([name, value]) => Boolean(viewport.getCamera()[name]) !== value);
  for (const [name, value] of wrong) viewport.setCamera({ [name]: value });
  if (wrong.length) viewport.render();
}
