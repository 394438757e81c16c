// What the panel shows of each reading. All text is put in as text.
const NAMES = { quality: "Image quality", density: "Density", risk: "Risk", lesions: "Lesions" };
const ORDER = Object.keys(NAMES);
const SIDES = { L: "left", R: "right" };
const MET = "373066001"; // SNOMED CT, Yes: the answer of a criterion that is met
export const SAID = { accept: "accepted", reject: "rejected", comment: "commented on" };
const WORDS = { accept: "Accept", reject: "Reject", comment: "Only comment" }; // a comment goes along with a decision
const LONGEST = 2000; // characters of a comment
const HINT = "hint"; // the element that tells what to know of comments

export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((each) => each));
  return element;
}

export function nameOf(reading) {
  const name = NAMES[reading.task] ?? reading.task;
  return reading.modality === "MG" ? name : `${name} (${reading.modality})`;
}

/** The elements for an answer of /api/studies/…/readings. */
export function contentOf(answer, actions) {
  const readings = [...answer.readings].sort((a, b) => ORDER.indexOf(a.task) - ORDER.indexOf(b.task));
  const content = [];
  if (answer.awaits_images)
    content.push(make("p", {}, "Images may still be coming. Models begin once none has come for a while."));
  else if (!readings.length)
    content.push(make("p", {}, "Without AI: no model is enabled here for what this study has."));
  content.push(...readings.map((each) => articleOf(each, actions)));
  const hint = actions.mayReview
    ? "Name no patient in a comment: it goes into the study."
    : "Your role does not let you review findings.";
  content.push(make("p", { class: "hint", id: HINT }, hint));
  return content;
}

function articleOf(reading, actions) {
  const id = `${reading.task}-${reading.modality}`;
  const heading = make("h3", { id }, nameOf(reading));
  const isDone = reading.state === "done";
  return make(
    "article",
    { "aria-labelledby": id, class: reading.state },
    heading,
    isDone ? cautionOf(reading.findings.model) : undefined,
    isDone ? foundOf(reading, actions) : stateOf(reading),
    isDone ? modelOf(reading) : reading.model && make("p", { class: "hint" }, `Model: ${reading.model}`),
    reviewOf(reading, "", actions),
  );
}

function stateOf(reading) {
  const reason = reading.reason ? `: ${reading.reason}` : "";
  const said = {
    due: `Still being read${reading.reason ? `; the last try came to no end: ${reading.reason}` : ""}.`,
    failed: `Failed${reason}`,
    "not-applicable": `Not applicable${reason}`,
  };
  return make("p", { class: "state" }, said[reading.state] ?? reading.state);
}

function foundOf(reading, actions) {
  const findings = reading.findings;
  const of = (level) => ({
    evaluations: findings.evaluations.filter((each) => each.target.level === level),
    measurements: findings.measurements.filter((each) => each.target.level === level),
  });
  const exam = of("exam");
  const headline = exam.evaluations.find((each) => labelOf(each));
  const rest = { ...exam, evaluations: exam.evaluations.filter((each) => each !== headline) };
  return [
    headline && headlineOf(headline),
    linesOf(rest),
    ...(reading.task === "lesions" || findings.lesions.length ? [lesionsOf(reading, actions)] : []),
    placesOf(findings, reading),
  ];
}

/** The answer in large, and all alternatives with their probabilities. */
function headlineOf(evaluation) {
  const rows = evaluation.likelihoods.map((each) =>
    make(
      "tr",
      each.code.value === evaluation.value.value ? { class: "answer" } : {},
      make("th", { scope: "row" }, each.label),
      make("td", {}, each.code.meaning),
      make("td", { class: "number" }, percent(each.probability)),
    ),
  );
  const letter = make("strong", {}, labelOf(evaluation).toUpperCase());
  const caption = make("caption", {}, `${evaluation.concept.meaning}: probability of each answer`);
  return [
    make("p", { class: "headline" }, letter, ` ${evaluation.value.meaning}`),
    make("table", {}, caption, make("tbody", {}, rows)),
  ];
}

function labelOf(evaluation) {
  return evaluation.likelihoods.find((each) => each.code.value === evaluation.value.value)?.label ?? "";
}

function linesOf({ evaluations, measurements }) {
  const notMetFirst = [...evaluations].sort((a, b) => (a.value.value === MET) - (b.value.value === MET));
  const lines = [
    ...notMetFirst.map((each) => make("li", {}, `${each.concept.meaning}: ${answerOf(each)}`)),
    ...measurements.map((each) => make("li", {}, `${each.concept.meaning}: ${numberOf(each)}`)),
  ];
  return lines.length ? make("ul", {}, lines) : undefined;
}

function answerOf(evaluation) {
  const chance = evaluation.likelihoods.find((each) => each.code.value === evaluation.value.value);
  return evaluation.value.meaning + (chance ? `, ${percent(chance.probability)}` : "");
}

function numberOf(measurement) {
  const unit = measurement.unit.value === "1" ? "" : ` ${measurement.unit.value}`;
  return measurement.value.toLocaleString("en", { maximumSignificantDigits: 4 }) + unit;
}

function percent(share) {
  return `${(100 * share).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

/** What is said of each breast and of each view; of the quality of images it is what matters, so it stands open. */
function placesOf(findings, reading) {
  const places = new Map();
  for (const name of ["evaluations", "measurements"])
    for (const each of findings[name]) {
      if (!["breast", "view"].includes(each.target.level)) continue;
      const place = placeOf(each.target, findings);
      if (!places.has(place)) places.set(place, { evaluations: [], measurements: [] });
      places.get(place)[name].push(each);
    }
  if (!places.size) return undefined;
  const parts = [...places].map(([place, said]) => [make("h4", {}, capital(place)), linesOf(said)]);
  const summary = make("summary", {}, "Each breast and view");
  return make("details", { open: reading.task === "quality" }, summary, ...parts.flat());
}

function placeOf(target, findings) {
  const uid = target.sop_instance_uid;
  const source = uid && findings.sources.find((each) => each.sop_instance_uid === uid);
  if (!source) return SIDES[target.laterality] ?? "image";
  return [SIDES[source.laterality], source.view].filter(Boolean).join(" ") || "image";
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function lesionsOf(reading, actions) {
  const { lesions, operating_point: point } = reading.findings;
  if (!lesions.length) return make("p", {}, `No lesion was found${point ? ` at the operating point ${point}` : ""}.`);
  const list = lesions.map((each) => lesionOf(each, reading, actions));
  return make("ol", { class: "lesions", "aria-label": "Lesions" }, list);
}

function lesionOf(lesion, reading, actions) {
  const findings = reading.findings;
  const about = (each) => each.target.lesion === lesion.name;
  const words = [lesion.kind.meaning, SIDES[lesion.laterality]].filter(Boolean).join(", ");
  const shows = lesion.regions.map((region, index) => {
    const place = placeOf(region, findings) + (region.frame > 1 ? `, frame ${region.frame}` : "");
    const key = `show ${actions.keyOf(reading, lesion.name)} ${index}`;
    const label = `Show ${lesion.name} in ${place}`;
    const click = () => actions.point(lesion, region, place);
    return make("button", { type: "button", "data-key": key, "aria-label": label, click }, `Show in ${place}`);
  });
  return make(
    "li",
    { "data-lesion": lesion.name },
    make("h4", {}, `${lesion.name}: ${words}`),
    make("p", {}, `Score ${percent(lesion.score)}`),
    linesOf({
      evaluations: findings.evaluations.filter(about),
      measurements: findings.measurements.filter(about),
    }),
    make("p", {}, shows),
    reviewOf(reading, lesion.name, actions),
  );
}

function modelOf(reading) {
  const { model, operating_point: point, applicability } = reading.findings;
  const rows = {
    Model: `${model.title} ${model.version}`,
    "Trained on": model.trained_on,
    "Operating point": point,
    Applicability: applicability,
    "Read at": reading.changed_at && new Date(reading.changed_at).toLocaleString(),
    "SHA-256": model.sha256,
  };
  const list = Object.entries(rows).filter(([, text]) => text);
  return make("dl", {}, list.map(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function cautionOf(model) {
  const cautions = [
    model.research_use_only && "Research use only. Not for diagnosis.",
    /phantom/i.test(model.trained_on) && "Trained on phantoms, not on patients: it tells nothing about a patient.",
  ].filter(Boolean);
  return cautions.length ? make("p", { class: "caution" }, cautions.join(" ")) : undefined;
}

/** What readers said of a reading, or of a lesion of it, and where to say something. */
function reviewOf(reading, lesion, actions) {
  const said = reading.reviews.filter((each) => each.lesion === lesion);
  const name = lesion || nameOf(reading);
  const list = said.length
    ? make("ul", { class: "reviews", "aria-label": `Reviews of ${name}` }, said.map(lineOfReview))
    : undefined;
  const canSay = actions.mayReview && reading.state === "done";
  return [list, canSay ? formOf(reading, lesion, name, actions) : undefined];
}

function lineOfReview(review) {
  const at = review.at ? `, ${new Date(review.at).toLocaleString()}` : "";
  const notes = [
    review.is_superseded && "superseded",
    !review.is_current && `of another reading, by ${review.model}`,
    !review.sop_instance_uid && "not in the study yet",
  ].filter(Boolean);
  return make(
    "li",
    { class: review.is_superseded || !review.is_current ? "old" : "", "data-review": review.review_id },
    make("strong", {}, capital(SAID[review.decision])),
    ` by ${review.is_own ? "you" : review.by}${at}${notes.length ? ` (${notes.join("; ")})` : ""}`,
    review.comment ? make("p", { class: "comment" }, review.comment) : undefined,
  );
}

function formOf(reading, lesion, name, actions) {
  const key = actions.keyOf(reading, lesion);
  const input = (event) => {
    actions.drafts.set(key, event.target.value);
    buttons[2].disabled = !event.target.value.trim();
  };
  const described = { "aria-describedby": HINT, "data-key": `text ${key}` };
  const text = make("textarea", { rows: 1, maxlength: LONGEST, ...described, input });
  text.value = actions.drafts.get(key) ?? "";
  const buttons = Object.keys(WORDS).map((decision) => {
    const click = () => actions.say(reading, lesion, decision);
    const word = WORDS[decision];
    const label = `${word} ${decision === "comment" ? "on " : ""}${name}`;
    const named = { "aria-label": label, "data-key": `${decision} ${key}` };
    return make("button", { type: "button", ...named, click }, word);
  });
  buttons[2].disabled = !text.value.trim();
  const label = make("label", {}, `Comment on ${name}`, text);
  const attributes = { class: "review", role: "group", "aria-label": `Review of ${name}` };
  return make("div", attributes, label, buttons);
}
