// How a breast study is hung: by laterality and view, chest walls meeting in the middle, the prior's views beside.
import { instanceOf, isStandard, isTomosynthesis, place } from "./view.js";

export const PROTOCOL = "@senogate/breast";
const VIEWS = ["R CC", "L CC", "R MLO", "L MLO"];
const CURRENT = 0;
const PRIOR = 1;

/** Make what the rules below ask for known to OHIF. */
export function register(hangingProtocolService) {
  const attributes = {
    place: (displaySet) => place(instanceOf(displaySet)),
    isTomosynthesis: (displaySet) => isTomosynthesis(instanceOf(displaySet)),
    isFlat: (displaySet) => !isTomosynthesis(instanceOf(displaySet)),
    isStandard: (displaySet) => isStandard(instanceOf(displaySet)),
    isForPresentation: (displaySet) => instanceOf(displaySet)?.PresentationIntentType !== "FOR PROCESSING",
    isPicture: (displaySet) => Boolean(displaySet.numImageFrames) && displaySet.Modality !== "OT",
  };
  for (const [name, ask] of Object.entries(attributes)) {
    hangingProtocolService.addCustomAttribute(`senogate-${name}`, name, ask);
  }
  hangingProtocolService.addCustomAttribute("senogate-area", "where the chest wall is", ([displaySet]) => area(displaySet));
  hangingProtocolService.addProtocol(PROTOCOL, protocol());
}

/** The image's edge at the chest wall lies at the viewport's, however it is turned; other pictures in the middle. */
function area(displaySet) {
  const found = place(instanceOf(displaySet));
  if (!found) return undefined;
  const edge = found.startsWith("R") ? 1 : 0;
  return {
    storeAsInitialCamera: true,
    imageArea: [1, 1],
    imageCanvasPoint: { imagePoint: [edge, 0.5], canvasPoint: [edge, 0.5] },
  };
}

const rule = (name, value, options = {}) => ({
  attribute: `senogate-${name}`,
  constraint: { equals: { value } },
  weight: 1,
  ...options,
});
const study = (index) => [
  { attribute: "studyInstanceUIDsIndex", from: "options", required: true, constraint: { equals: { value: index } } },
];

const name = (view, index, tomosynthesis) => `${view}${index === PRIOR ? " prior" : ""}${tomosynthesis ? " tomo" : ""}`;

function selector(view, index, tomosynthesis) {
  return {
    studyMatchingRules: study(index),
    seriesMatchingRules: [
      rule("place", view, { required: true }),
      tomosynthesis ? rule("isTomosynthesis", true, { required: true }) : rule("isFlat", true, { weight: 8 }),
      rule("isForPresentation", true, { weight: 4 }),
      rule("isStandard", true, { weight: 2 }),
    ],
  };
}

function selectors() {
  const made = { any: { studyMatchingRules: study(CURRENT), seriesMatchingRules: [rule("isPicture", true, { required: true })] } };
  for (const view of VIEWS) {
    made[name(view, CURRENT, false)] = selector(view, CURRENT, false);
    made[name(view, CURRENT, true)] = selector(view, CURRENT, true);
    made[name(view, PRIOR, false)] = selector(view, PRIOR, false);
  }
  return made;
}

const viewport = (id, matchedDisplaySetsIndex = 0) => ({
  viewportOptions: {
    toolGroupId: "default",
    allowUnmatchedView: true,
    displayArea: { custom: "senogate-area" },
  },
  displaySets: [{ id, matchedDisplaySetsIndex }],
});

function stage(id, title, rows, columns, viewports, least) {
  const activation = { minViewportsMatched: least };
  return {
    id,
    name: title,
    viewportStructure: { layoutType: "grid", properties: { rows, columns } },
    viewports,
    stageActivation: { passive: activation, enabled: activation },
  };
}

function protocol() {
  const four = (index, tomosynthesis) => VIEWS.map((view) => viewport(name(view, index, tomosynthesis)));
  const [rcc, lcc, rmlo, lmlo] = VIEWS;
  const beside = [name(rcc, PRIOR), rcc, lcc, name(lcc, PRIOR), name(rmlo, PRIOR), rmlo, lmlo, name(lmlo, PRIOR)];
  return {
    id: PROTOCOL,
    name: "Breast",
    locked: true,
    numberOfPriorsReferenced: 0,
    protocolMatchingRules: [
      { id: "mammograms", weight: 200, attribute: "ModalitiesInStudy", constraint: { contains: "MG" }, required: true },
    ],
    toolGroupIds: ["default"],
    displaySetSelectors: selectors(),
    defaultViewport: viewport("any", -1),
    stages: [
      stage("priors", "Four views, the prior's beside", 2, 4, beside.map((id) => viewport(id)), 6),
      stage("four", "Four views", 2, 2, four(CURRENT, false), 3),
      stage("tomosynthesis", "Four views, tomosynthesis", 2, 2, four(CURRENT, true), 3),
      stage("two", "Two views", 1, 2, [viewport("any", 0), viewport("any", 1)], 2),
      stage("one", "One view", 1, 1, [viewport("any", 0)], 0),
    ],
  };
}
