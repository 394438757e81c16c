// What the panel shows of each reading. All text is put in as text.
import { _, isTranslated, language, marked } from "./texts.js";

const NAMES = {
  quality: marked("Image quality"),
  density: marked("Density"),
  risk: marked("Risk"),
  lesions: marked("Lesions"),
};
const ORDER = Object.keys(NAMES);
const SIDES = { L: marked("left"), R: marked("right") };
const VIEWS = { L: marked("left %(view)s"), R: marked("right %(view)s") };
const MET = "373066001"; // SNOMED CT, Yes: the answer of a criterion that is met
const BY_YOU = {
  accept: marked("Accepted by you"),
  reject: marked("Rejected by you"),
  comment: marked("Commented on by you"),
};
const BY_ANOTHER = {
  accept: marked("Accepted by %(name)s"),
  reject: marked("Rejected by %(name)s"),
  comment: marked("Commented on by %(name)s"),
};
const WORDS = { accept: marked("Accept"), reject: marked("Reject"), comment: marked("Only comment") };
const LABELS = {
  accept: marked("Accept %(name)s"),
  reject: marked("Reject %(name)s"),
  comment: marked("Only comment on %(name)s"), // a comment goes along with a decision
};
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
  const name = _(NAMES[reading.task] ?? reading.task);
  return reading.modality === "MG" ? name : `${name} (${reading.modality})`;
}

/** The elements for an answer of /api/studies/…/readings. */
export function contentOf(answer, actions) {
  const readings = [...answer.readings].sort((a, b) => ORDER.indexOf(a.task) - ORDER.indexOf(b.task));
  const content = [];
  if (answer.awaits_images)
    content.push(make("p", {}, _("Images may still be coming. Models begin once none has come for a while.")));
  else if (!readings.length)
    content.push(make("p", {}, _("Without AI: no model is enabled here for what this study has.")));
  content.push(...readings.map((each) => articleOf(each, actions)));
  const hint = actions.mayReview
    ? _("Name no patient in a comment: it goes into the study.")
    : _("Your role does not let you review findings.");
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
    isDone ? modelOf(reading) : reading.model && make("p", { class: "hint" }, _("Model"), ": ", english(reading.model)),
    reviewOf(reading, "", actions),
  );
}

function stateOf(reading) {
  const said = {
    due: reading.reason ? _("Still being read; the last try came to no end") : _("Still being read."),
    failed: _("Failed"),
    "not-applicable": _("Not applicable"),
  };
  const reason = reading.reason ? [": ", english(reading.reason)] : [];
  return make("p", { class: "state" }, said[reading.state] ?? reading.state, reason);
}

/** What is said in English alone: reasons that a model gave, and what it says of itself. */
function english(text) {
  return make("span", { lang: "en" }, text);
}

/** What a code means, in the reader's language where that is known. */
function meaning(code) {
  return isTranslated(code.meaning) ? _(code.meaning) : english(code.meaning);
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
      make("td", {}, meaning(each.code)),
      make("td", { class: "number" }, percent(each.probability)),
    ),
  );
  const letter = make("strong", {}, labelOf(evaluation).toUpperCase());
  const caption = make("caption", {}, meaning(evaluation.concept), ": ", _("probability of each answer"));
  return [
    make("p", { class: "headline" }, letter, " ", meaning(evaluation.value)),
    make("table", {}, caption, make("tbody", {}, rows)),
  ];
}

function labelOf(evaluation) {
  return evaluation.likelihoods.find((each) => each.code.value === evaluation.value.value)?.label ?? "";
}

function linesOf({ evaluations, measurements }) {
  const notMetFirst = [...evaluations].sort((a, b) => (a.value.value === MET) - (b.value.value === MET));
  const lines = [
    ...notMetFirst.map((each) => make("li", {}, meaning(each.concept), ": ", answerOf(each))),
    ...measurements.map((each) => make("li", {}, meaning(each.concept), ": ", numberOf(each))),
  ];
  return lines.length ? make("ul", {}, lines) : undefined;
}

function answerOf(evaluation) {
  const chance = evaluation.likelihoods.find((each) => each.code.value === evaluation.value.value);
  return [meaning(evaluation.value), chance && `, ${percent(chance.probability)}`];
}

function numberOf(measurement) {
  const unit = measurement.unit.value === "1" ? "" : ` ${measurement.unit.value}`;
  return measurement.value.toLocaleString(language, { maximumSignificantDigits: 4 }) + unit;
}

function percent(share) {
  return `${(100 * share).toLocaleString(language, { maximumFractionDigits: 1 })} %`;
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
  const summary = make("summary", {}, _("Each breast and view"));
  return make("details", { open: reading.task === "quality" }, summary, ...parts.flat());
}

function placeOf(target, findings) {
  const uid = target.sop_instance_uid;
  const source = uid && findings.sources.find((each) => each.sop_instance_uid === uid);
  if (!source?.view) return _(SIDES[(source ?? target).laterality] ?? "image");
  return VIEWS[source.laterality] ? _(VIEWS[source.laterality], { view: source.view }) : source.view;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function lesionsOf(reading, actions) {
  const { lesions, operating_point: point } = reading.findings;
  if (!lesions.length) return make("p", {}, noneFound(point));
  const list = lesions.map((each) => lesionOf(each, reading, actions));
  return make("ol", { class: "lesions", "aria-label": _("Lesions") }, list);
}

function noneFound(point) {
  return point ? _("No lesion was found at the operating point %(point)s.", { point }) : _("No lesion was found.");
}

function lesionOf(lesion, reading, actions) {
  const findings = reading.findings;
  const about = (each) => each.target.lesion === lesion.name;
  const side = SIDES[lesion.laterality];
  const shows = lesion.regions.map((region, index) => {
    const view = placeOf(region, findings);
    const { frame } = region;
    const place = frame > 1 ? _("%(view)s, frame %(frame)s", { view, frame }) : view;
    const key = `show ${actions.keyOf(reading, lesion.name)} ${index}`;
    const { name } = lesion;
    const label = _("Show %(name)s in %(place)s", { name, place });
    const click = () => actions.point(lesion, region, place);
    return make("button", { type: "button", "data-key": key, "aria-label": label, click }, _("Show in %(place)s", { place }));
  });
  return make(
    "li",
    { "data-lesion": lesion.name },
    make("h4", {}, `${lesion.name}: `, meaning(lesion.kind), side && `, ${_(side)}`),
    make("p", {}, _("Score"), " ", percent(lesion.score)),
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
    [_("Model")]: english(`${model.title} ${model.version}`),
    [_("Trained on")]: model.trained_on && english(model.trained_on),
    [_("Operating point")]: point,
    [_("Applicability")]: applicability && english(applicability),
    [_("Read at")]: reading.changed_at && new Date(reading.changed_at).toLocaleString(language),
    "SHA-256": model.sha256,
  };
  const list = Object.entries(rows).filter(([, text]) => text);
  return make("dl", {}, list.map(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function cautionOf(model) {
  const cautions = [
    model.research_use_only && _("Research use only. Not for diagnosis."),
    /phantom/i.test(model.trained_on) && _("Trained on phantoms, not on patients: it tells nothing about a patient."),
  ].filter(Boolean);
  return cautions.length ? make("p", { class: "caution" }, cautions.join(" ")) : undefined;
}

/** What readers said of a reading, or of a lesion of it, and where to say something. */
function reviewOf(reading, lesion, actions) {
  const said = reading.reviews.filter((each) => each.lesion === lesion);
  const name = lesion || nameOf(reading);
  const list = said.length
    ? make("ul", { class: "reviews", "aria-label": _("Reviews of %(name)s", { name }) }, said.map(lineOfReview))
    : undefined;
  const canSay = actions.mayReview && reading.state === "done";
  return [list, canSay ? formOf(reading, lesion, name, actions) : undefined];
}

function lineOfReview(review) {
  const at = review.at ? `, ${new Date(review.at).toLocaleString(language)}` : "";
  const { by, model } = review;
  const notes = [
    review.is_superseded && _("superseded"),
    !review.is_current && _("of another reading, by %(model)s", { model }),
    !review.sop_instance_uid && _("not in the study yet"),
  ].filter(Boolean);
  return make(
    "li",
    { class: review.is_superseded || !review.is_current ? "old" : "", "data-review": review.review_id },
    make("strong", {}, review.is_own ? _(BY_YOU[review.decision]) : _(BY_ANOTHER[review.decision], { name: by })),
    `${at}${notes.length ? ` (${notes.join("; ")})` : ""}`,
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
    const named = { "aria-label": _(LABELS[decision], { name }), "data-key": `${decision} ${key}` };
    return make("button", { type: "button", ...named, click }, _(WORDS[decision]));
  });
  buttons[2].disabled = !text.value.trim();
  const label = make("label", {}, _("Comment on %(name)s", { name }), text);
  const attributes = { class: "review", role: "group", "aria-label": _("Review of %(name)s", { name }) };
  return make("div", attributes, label, buttons);
}
