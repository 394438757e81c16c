// Windows as a mammogram asks for them. OHIF takes the first letter of VOI LUT Function (0028,1056) for its name, which
// makes the picture black, and leaves VOI LUT Sequence out: what it is told of an image is put right here, and nowhere
// else.
import { first, items } from "./view.js";

const PRIORITY = 100000; // above OHIF's own
const LINEAR = "LINEAR";
const SIGMOID = "SIGMOID";

/** Answer for OHIF's own knowledge of an image's windows, corrected. */
export function register({ metaData }) {
  let isAsking = false;
  const provide = (type, imageId) => {
    if (type !== "voiLutModule" || isAsking) return undefined;
    isAsking = true;
    try {
      return corrected(metaData.get(type, imageId), metaData.get("instance", imageId));
    } finally {
      isAsking = false;
    }
  };
  metaData.addProvider(provide, PRIORITY);
}

/** The windows of an image: the named function in a list of one, since its first item is what is taken. */
function corrected(said, instance) {
  const window = windowOf(instance) ?? windowOfTable(first(instance?.VOILUTSequence));
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
export function windowOfTable(table) {
  const [length, start] = items(table?.LUTDescriptor).map(Number);
  const values = valuesOf(table);
  if (!values || values.length < 2 || values.length < (length || 65536)) return undefined;
  const at = crossings(values, toSigned(start, table));
  const [low, quarter, half, threeQuarters, high] = at;
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

function valuesOf(table) {
  const data = items(table?.LUTData)[0];
  if (data instanceof ArrayBuffer) return Array.from(new Uint16Array(data.slice(0, data.byteLength & ~1)));
  const listed = items(table?.LUTData);
  return listed.length > 1 && listed.every((value) => typeof value === "number") ? listed : undefined;
}

/** A first value above 32767 that a signed image cannot mean is a negative one, written without its sign. */
function toSigned(start, table) {
  return start > 32767 && table.vr === "SS" ? start - 65536 : start || 0;
}
