// Windows as a mammogram asks for them. OHIF takes the first letter of VOI LUT Function (0028,1056) for its name, which
// makes the picture black, and leaves VOI LUT Sequence out: what it is told of an image is put right here, and nowhere
// else.
import { first, items } from "./view.js";

const PRIORITY = 100000; // above OHIF's own
const LINEAR = "LINEAR";
const SIGMOID = "SIGMOID";

/** Begin to answer for OHIF's own knowledge of an image's windows, corrected. */
export function begin({ displaySetService, cornerstone }) {
  const { metaData } = cornerstone;
  const tables = new Map(); // windows of instances that have tables alone, by SOP Instance UID
  let isAsking = false;
  const provide = (type, imageId) => {
    if (type !== "voiLutModule" || isAsking) return undefined;
    isAsking = true;
    try {
      const instance = metaData.get("instance", imageId);
      return corrected(metaData.get(type, imageId), windowOf(instance) ?? tables.get(instance?.SOPInstanceUID));
    } finally {
      isAsking = false;
    }
  };
  metaData.addProvider(provide, PRIORITY);

  const readTable = async (instance) => {
    const table = first(instance.VOILUTSequence);
    const window = windowOfTable(table, await valuesOf(table));
    if (!window) return;
    tables.set(instance.SOPInstanceUID, window);
    for (const viewport of cornerstone.getEnabledElements().map((enabled) => enabled.viewport)) {
      const shown = metaData.get("instance", viewport.getCurrentImageId?.());
      if (shown?.SOPInstanceUID === instance.SOPInstanceUID && viewport.getImageData?.()) apply(viewport, window);
    }
  };
  displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) => {
    for (const instance of displaySetsAdded.flatMap((each) => each.instances ?? each.images ?? [])) {
      if (first(instance.VOILUTSequence) && !windowOf(instance)) readTable(instance);
    }
  });
}

/** For a picture that was there before its table. */
function apply(viewport, { centers: [center], widths: [width], shape }) {
  viewport.setProperties({ VOILUTFunction: shape, voiRange: { lower: center - width / 2, upper: center + width / 2 } });
  viewport.render();
}

/** The windows of an image: the named function in a list of one, since its first item is what is taken. */
function corrected(said, window) {
  if (!window) return said && { ...said, voiLUTFunction: undefined };
  const { centers, widths, shape } = window;
  return {
    ...said,
    windowCenter: centers,
    windowWidth: widths,
    voiLUTFunction: shape === SIGMOID ? [SIGMOID] : undefined,
  };
}

/** Window Center and Width with the function that they are for (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export function windowOf(instance) {
  const voi = first(first(instance?.SharedFunctionalGroupsSequence)?.FrameVOILUTSequence) ?? instance;
  const centers = items(voi?.WindowCenter).map(Number);
  const widths = items(voi?.WindowWidth).map(Number);
  if (!centers.length || !widths.length || !(widths[0] > 0)) return undefined;
  const named = String(items(voi.VOILUTFunction ?? instance?.VOILUTFunction)[0] ?? LINEAR).trim().toUpperCase();
  if (named !== "LINEAR_EXACT") return { centers, widths, shape: named === SIGMOID ? SIGMOID : LINEAR };
  // c and w of LINEAR_EXACT are c + 0.5 and w + 1 of LINEAR
  return { centers: centers.map((center) => center + 0.5), widths: widths.map((width) => width + 1), shape: LINEAR };
}

/** The window that is nearest to a table: a straight one or a curved one, by where the table crosses its quarters. */
export function windowOfTable(table, values) {
  const [length, start] = items(table?.LUTDescriptor).map(Number);
  if (!values || values.length < 2 || values.length < (length || 65536)) return undefined;
  const [low, quarter, half, threeQuarters, high] = crossings(values, start || 0);
  const slope = threeQuarters - quarter;
  if (!(slope > 0)) return undefined;
  // Of a straight line the outer distance is 1.8 times the inner one; of 1 / (1 + exp(-4 (x - c) / w)) 2.68 times.
  return (high - low) / slope > 2.2
    ? { centers: [half], widths: [(slope * 2) / Math.log(3)], shape: SIGMOID }
    : { centers: [half], widths: [slope * 2], shape: LINEAR };
}

/** Where a table first reaches 5, 25, 50, 75 and 95 % of its range. */
function crossings(values, start) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => {
    const level = least + share * (most - least);
    return start + Math.max(0, values.findIndex((value) => value >= level));
  });
}

/** A table's entries: numbers, or bytes of 16 bits each that lie elsewhere (PS3.18 section F.2.6). */
async function valuesOf(table) {
  const listed = items(table?.LUTData);
  if (listed.length > 1) return listed.map(Number);
  const [data] = listed;
  const bytes = data instanceof ArrayBuffer ? data : await data?.retrieveBulkData?.();
  return bytes && new Uint16Array(bytes.slice(0, bytes.byteLength & ~1));
}
