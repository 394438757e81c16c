// What an instance shows, from its attributes as OHIF names them: which breast, which view, which way round.

// View Position by the codes of PS3.16 CID 4014, and the codes of SNOMED's that were used before
const VIEWS = {
  "399162004": "CC", "R-10242": "CC",
  "399368009": "MLO", "R-10226": "MLO",
  "399260004": "ML", "R-10224": "ML",
  "399352003": "LM", "R-10228": "LM",
  "399099002": "LMO", "R-10230": "LMO",
  "399192008": "XCCL", "R-1024A": "XCCL",
  "399101009": "XCCM", "R-1024B": "XCCM",
  "399188001": "SIO", "R-102D0": "SIO",
  "441555000": "ISO", "R-40AAA": "ISO",
}; // prettier-ignore
const HARMLESS = new Set(["442581004", "R-40AB3", "442593008", "R-40ABE"]); // nipple in profile, inframammary fold
const OBLIQUE = new Set(["MLO", "ML", "LM", "LMO", "SIO", "ISO"]);
const TOMOSYNTHESIS = new Set(["1.2.840.10008.5.1.4.1.1.13.1.3"]);

/** A sequence's items; OHIF gives a sequence as a list, or its one item. */
export function items(sequence) {
  if (sequence === undefined || sequence === null) return [];
  return Array.isArray(sequence) ? [...sequence] : [sequence];
}

export function first(sequence) {
  return items(sequence)[0];
}

/** The first instance of a display set; undefined for what has none. */
export function instanceOf(displaySet) {
  return displaySet?.instance ?? displaySet?.instances?.[0] ?? displaySet?.images?.[0];
}

/** "R", "L" or "". */
export function laterality(instance) {
  const anatomy = first(first(instance?.SharedFunctionalGroupsSequence)?.FrameAnatomySequence);
  const said = instance?.ImageLaterality || anatomy?.FrameLaterality || instance?.Laterality || "";
  return said === "R" || said === "L" ? said : "";
}

/** "CC", "MLO" …, or "". */
export function viewPosition(instance) {
  return String(instance?.ViewPosition || VIEWS[first(instance?.ViewCodeSequence)?.CodeValue] || "").trim().toUpperCase();
}

/** "R CC", "L MLO" …: the place of a mammogram among four; "" for what has none. */
export function place(instance) {
  const side = laterality(instance);
  const view = viewPosition(instance);
  if (instance?.Modality !== "MG" || !side || !view) return "";
  if (view === "CC" || view.startsWith("XCC")) return `${side} CC`;
  return OBLIQUE.has(view) ? `${side} MLO` : "";
}

export function isTomosynthesis(instance) {
  return TOMOSYNTHESIS.has(instance?.SOPClassUID) || items(instance?.ImageType).includes("TOMOSYNTHESIS");
}

/** Whether a view is one of the four of screening: neither magnified nor spot-compressed nor a part. */
export function isStandard(instance) {
  const modifiers = items(first(instance?.ViewCodeSequence)?.ViewModifierCodeSequence).filter(
    (modifier) => !HARMLESS.has(modifier.CodeValue),
  );
  const magnification = Number(instance?.EstimatedRadiographicMagnificationFactor ?? 1);
  return ["CC", "MLO"].includes(viewPosition(instance)) && modifiers.length === 0 && magnification < 1.3;
}

/**
 * How an image is turned so that radiologists find it as they are used to: the right breast's chest wall at the right,
 * the left one's at the left, the lateral half of a CC and the upper half of an oblique view above.
 */
export function turns(instance) {
  const side = laterality(instance);
  const [row = "", column = ""] = items(instance?.PatientOrientation).map(String);
  if (!side || !place(instance) || !"AP".includes(row[0] ?? "?")) return { flipHorizontal: false, flipVertical: false };
  const isCC = place(instance).endsWith("CC");
  const upsideDown = isCC ? (side === "R" ? "R" : "L") : "H";
  return { flipHorizontal: row[0] !== (side === "R" ? "P" : "A"), flipVertical: column[0] === upsideDown };
}
