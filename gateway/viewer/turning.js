// Keeps a mammogram turned as radiologists are used to it: when it is first shown, and after a reset of its viewport.
import { place, turns } from "./view.js";

export function begin({ cornerstone }) {
  const { ELEMENT_ENABLED, IMAGE_RENDERED } = cornerstone.Enums.Events;
  cornerstone.eventTarget.addEventListener(ELEMENT_ENABLED, ({ detail: { element } }) => {
    const { viewport } = cornerstone.getEnabledElement(element);
    const shown = () => cornerstone.metaData.get("instance", viewport.getCurrentImageId?.());
    let turned; // the instance that was turned last; what the reader then does with it stays
    const turn = () => {
      const instance = shown();
      if (!place(instance)) return false;
      turned = instance.SOPInstanceUID;
      const camera = viewport.getCamera();
      const wrong = Object.entries(turns(instance)).filter(([name, value]) => Boolean(camera[name]) !== value);
      for (const [name, value] of wrong) viewport.setCamera({ [name]: value }); // one after the other: both at once is one
      return wrong.length > 0;
    };
    const reset = viewport.resetCamera?.bind(viewport);
    viewport.resetCamera = (...options) => {
      const answer = reset(...options);
      turn();
      return answer;
    };
    element.addEventListener(IMAGE_RENDERED, () => {
      if (shown()?.SOPInstanceUID !== turned && turn()) viewport.render();
    });
  });
}
