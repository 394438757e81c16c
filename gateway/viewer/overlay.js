// Draws what models found over the pictures, in a layer that no mouse reaches: it can be hidden, and not changed.
import { isReport, marksOf } from "./findings.js";
import { _ } from "./texts.js";
import { instanceOf, place } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOUR = "#ffd400";
const NOTE = _("AI, research use only");
const LETTER = 7; // pixels that a letter is wide
const POINT = 14; // pixels of the screen around a finding that is a point

/** Begins to watch a mode's studies and viewports; what it returns shows, hides and lists the findings. */
export function begin({ displaySetService, cornerstone }) {
  const marks = new Map(); // of an image's SOP Instance UID
  const read = new Set(); // reports
  const layers = new Map(); // of an element
  const watchers = new Set();
  let isShown = true;
  let chosen = "";

  const redraw = () => layers.forEach((layer, element) => draw(element, layer));
  const add = ({ displaySetsAdded }) => {
    for (const instance of displaySetsAdded.map(instanceOf)) {
      if (!isReport(instance) || read.has(instance.SOPInstanceUID)) continue;
      read.add(instance.SOPInstanceUID);
      for (const mark of marksOf(instance)) marks.set(mark.image, [...(marks.get(mark.image) ?? []), mark]);
    }
    redraw();
  };

  const draw = (element, layer) => {
    const viewport = cornerstone.getEnabledElement(element)?.viewport;
    const imageId = viewport?.getCurrentImageId?.();
    if (!imageId || !viewport.getImageData?.()) return layer.replaceChildren();
    const instance = cornerstone.metaData.get("instance", imageId);
    const frame = Number(cornerstone.metaData.get("frameNumber", imageId) ?? imageId.match(/frames\/(\d+)/)?.[1] ?? 1);
    const here = (marks.get(instance?.SOPInstanceUID) ?? []).filter(
      (mark) => mark.frames.length === 0 || mark.frames.includes(frame),
    );
    if (!layer.dataset.image) performance.mark("senogate-picture"); // the viewport's first
    layer.dataset.place = place(instance);
    layer.dataset.image = instance?.SOPInstanceUID ?? "";
    layer.replaceChildren(...(isShown ? here.flatMap((mark) => shapes(mark, canvasOf(viewport), mark.lesion === chosen, element.clientWidth)) : []));
    if (isShown && here.length) layer.append(text(NOTE, element.clientWidth / 2, element.clientHeight - 10, "middle"));
  };

  const enable = ({ detail: { element } }) => {
    const layer = make("svg", { class: "senogate-findings", width: "100%", height: "100%" });
    layer.style.cssText = "position:absolute;inset:0;pointer-events:none;overflow:hidden;z-index:1";
    (element.querySelector(".viewport-element") ?? element).append(layer);
    layers.set(element, layer);
    element.addEventListener(cornerstone.Enums.Events.IMAGE_RENDERED, () => draw(element, layer));
  };
  const disable = ({ detail: { element } }) => {
    layers.get(element)?.remove();
    layers.delete(element);
  };

  cornerstone.eventTarget.addEventListener(cornerstone.Enums.Events.ELEMENT_ENABLED, enable);
  cornerstone.eventTarget.addEventListener(cornerstone.Enums.Events.ELEMENT_DISABLED, disable);
  displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, add);

  return {
    list: () => [...marks.values()].flat(),
    isShown: () => isShown,
    show(value) {
      isShown = value;
      redraw();
      watchers.forEach((watcher) => watcher(isShown));
    },
    /** Call back whenever they are shown or hidden, until what this returns is called. */
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    /** Make one lesion stand out, in every view that has it. */
    choose(lesion) {
      chosen = lesion;
      redraw();
    },
  };
}

/** From a point of the stored image to one of the viewport. An index names a pixel's middle, a coordinate its corner. */
function canvasOf(viewport) {
  const { imageData } = viewport.getImageData();
  return ([column, row]) => viewport.worldToCanvas(imageData.indexToWorld([column - 0.5, row - 0.5, 0]));
}

function shapes(mark, toCanvas, isChosen, width) {
  const style = { fill: "none", stroke: COLOUR, "stroke-width": isChosen ? 4 : 2, "data-lesion": mark.lesion };
  const at = outline(mark).map(toCanvas);
  const title = mark.isMeasure ? [] : [labelOf(mark, at, width)];
  if (mark.type === "POINT" || mark.type === "MULTIPOINT") {
    return [...at.map(([x, y]) => make("circle", { cx: x, cy: y, r: POINT, ...style })), ...title];
  }
  return [make("polyline", { points: at.map(([x, y]) => `${x},${y}`).join(" "), ...style }), ...title];
}

/** A region's points; of a circle or an ellipse, some on it. */
function outline({ type, points }) {
  if (type === "CIRCLE") {
    const [[x, y], [edgeX, edgeY]] = points;
    const radius = Math.hypot(edgeX - x, edgeY - y);
    return ellipse([x, y], [radius, 0], [0, radius]);
  }
  if (type === "ELLIPSE") {
    const [a, b, c, d] = points; // the ends of the one axis, then of the other
    const half = (from, to) => [(to[0] - from[0]) / 2, (to[1] - from[1]) / 2];
    return ellipse([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], half(a, b), half(c, d));
  }
  return points;
}

function ellipse([x, y], [ax, ay], [bx, by]) {
  return Array.from({ length: 65 }, (_, index) => {
    const angle = (index / 64) * 2 * Math.PI;
    return [x + ax * Math.cos(angle) + bx * Math.sin(angle), y + ay * Math.cos(angle) + by * Math.sin(angle)];
  });
}

/** The words above a mark, to its left where there is no room to its right. */
function labelOf(mark, at, width) {
  const [left, right] = [Math.min(...at.map(([x]) => x)), Math.max(...at.map(([x]) => x))];
  const isTight = left + mark.label.length * LETTER > width;
  const top = Math.min(...at.map(([, y]) => y)) - (mark.type === "POINT" ? POINT : 0);
  return text(mark.label, isTight ? right : left, Math.max(14, top - 6), isTight ? "end" : "start");
}

function text(content, x, y, anchor) {
  const made = make("text", { x, y, fill: COLOUR, "font-size": 13, "text-anchor": anchor, "paint-order": "stroke" });
  made.setAttribute("stroke", "#000");
  made.setAttribute("stroke-width", "3");
  made.textContent = content;
  return made;
}

function make(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
