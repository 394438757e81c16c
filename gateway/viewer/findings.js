// What models found, read from the reports (TID 1500) that lie in the study: where, and in which words.
import { first, items } from "./view.js";

const REPORTS = new Set([
  "1.2.840.10008.5.1.4.1.1.88.34", // Comprehensive 3D SR
  "1.2.840.10008.5.1.4.1.1.88.33", // Comprehensive SR
  "1.2.840.10008.5.1.4.1.1.88.22", // Enhanced SR
]);
const GROUP = "125007";
const COMMENT = "121106";
const ALGORITHM = "111001";
const LESION = "121151"; // Lesion Identifier
const FINDING = "121071";

/** Whether an instance is a report that may hold findings. */
export function isReport(instance) {
  return REPORTS.has(instance?.SOPClassUID);
}

/**
 * The marks of a report: `{ image, frames, type, points, label, lesion, model }`, of algorithms alone. Points are
 * [column, row] of the stored image, whose top left corner is [0, 0] (PS3.3 C.18.6.1.1).
 */
export function marksOf(instance) {
  return [...walk(instance)].filter((item) => isConcept(item, GROUP)).flatMap(marksOfGroup);
}

function* walk(item) {
  yield item;
  for (const child of items(item?.ContentSequence)) yield* walk(child);
}

function concept(item) {
  return first(item?.ConceptNameCodeSequence);
}

function isConcept(item, value) {
  return concept(item)?.CodeValue === value;
}

function marksOfGroup(group) {
  const content = items(group.ContentSequence);
  const text = (value) => content.find((item) => isConcept(item, value))?.TextValue;
  const model = text(ALGORITHM);
  if (!model) return [];
  const finding = first(content.find((item) => isConcept(item, FINDING))?.ConceptCodeSequence)?.CodeMeaning;
  const lesion = text(LESION) ?? "";
  const label = text(COMMENT) || finding || "Finding";
  return content.filter((item) => item.ValueType === "SCOORD").flatMap((region) => {
    const points = pairs(items(region.GraphicData).map(Number));
    return items(region.ContentSequence)
      .map((source) => first(source.ReferencedSOPSequence))
      .filter(Boolean)
      .map((source) => ({
        image: source.ReferencedSOPInstanceUID,
        frames: items(source.ReferencedFrameNumber).map(Number),
        type: region.GraphicType,
        isMeasure: region.GraphicType === "POLYLINE" && points.length === 2,
        points,
        label,
        lesion,
        model,
      }));
  });
}

function pairs(values) {
  return Array.from({ length: values.length >> 1 }, (_, index) => [values[2 * index], values[2 * index + 1]]);
}
