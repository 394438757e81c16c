// The panel of findings: what models found in a study, how far they are, and what readers say of it.
import { contentOf, make, nameOf } from "./panel-content.js";
import { jumpTo } from "./panel-jump.js";
import { STYLE } from "./panel-style.js";
import { _, language, marked } from "./texts.js";

const SOON = 2000; // milliseconds to the next look while something is still to come
const LATER = 30000;
const SAVED = {
  accept: marked("Saved: %(name)s accepted."),
  reject: marked("Saved: %(name)s rejected."),
  comment: marked("Saved: %(name)s commented on."),
};
const STATES = { done: marked("done"), failed: marked("failed"), "not-applicable": marked("not applicable") };

/**
 * Show a study's findings in an element; what is returned ends that. `servicesManager` is OHIF's, `findings` is what
 * draws them over the pictures; without them nothing is shown there.
 */
export function mount(element, { studyInstanceUID, servicesManager, findings }) {
  const panel = new Panel(element, studyInstanceUID, servicesManager?.services, findings);
  panel.look();
  return () => panel.end();
}

class Panel {
  #host = document.createElement("div");
  #status = make("p", { role: "status", class: "status" });
  #content = make("div", {});
  #ending = new AbortController();
  #drafts = new Map(); // comments that are not sent yet, by what they are on
  #sending = new Set(); // what is being said at the moment, by what it is on
  #timer;
  #session;
  #shown = ""; // the answer that the content was made of
  #states = new Map();

  constructor(element, study, services, outlines) {
    this.address = `/api/studies/${encodeURIComponent(study ?? "")}/readings`;
    this.services = services;
    this.outlines = outlines;
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    const root = this.#host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style];
    this.#host.lang = language; // what OHIF shows around it is English
    const title = make("h2", { id: "title" }, _("AI, research use only"));
    root.append(make("section", { "aria-labelledby": "title" }, title, this.#status, this.#content));
    // OHIF takes keys for its own unless they come from a text, which it does not see in a shadow tree.
    const keep = (event) => event.stopPropagation();
    for (const kind of ["keydown", "keypress", "keyup"]) this.#host.addEventListener(kind, keep);
    element.replaceChildren(this.#host);
  }

  end() {
    this.#ending.abort();
    clearTimeout(this.#timer);
    this.#host.remove();
  }

  /** Ask how things stand, show it, and ask again after a while. */
  async look() {
    let answer;
    try {
      this.#session ??= await this.#ask("/api/session");
      answer = await this.#ask(this.address);
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#tell(error);
    }
    if (this.#ending.signal.aborted) return;
    clearTimeout(this.#timer);
    const isPending = !answer || answer.awaits_images || answer.readings.some(isToCome);
    this.#timer = setTimeout(() => this.look(), isPending && !document.hidden ? SOON : LATER);
    if (answer) this.#show(answer);
  }

  /** Send what the reader says of a reading, or of a lesion of it. */
  async say(reading, lesion, decision) {
    const key = keyOf(reading, lesion);
    if (this.#sending.has(key)) return;
    this.#sending.add(key);
    const body = { decision, lesion, comment: this.#drafts.get(key) ?? "", fingerprint: reading.fingerprint };
    try {
      const address = `${this.address}/${reading.task}/${reading.modality}/reviews`;
      await this.#ask(address, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": this.#session.csrf_token ?? "" },
        body: JSON.stringify(body),
      });
      this.#drafts.delete(key);
      await this.look();
      const name = lesion || nameOf(reading);
      this.#announce(_(SAVED[decision], { name }));
    } catch (error) {
      if (error.status === 403) this.#session = undefined;
      if (error.status === 403 || error.status === 409) await this.look();
      this.#tell(error);
    } finally {
      this.#sending.delete(key);
    }
  }

  /** Bring a lesion's region into view. */
  async point(lesion, region, place) {
    this.outlines?.show(true);
    this.outlines?.choose(lesion.name);
    const isShown = await jumpTo(this.services, region);
    const { name } = lesion;
    const shown = _("%(name)s is shown in %(place)s.", { name, place });
    this.#announce(isShown ? shown : _("The image of %(name)s can't be shown here.", { name }));
  }

  async #ask(address, options = {}) {
    const answer = await fetch(address, { ...options, signal: this.#ending.signal });
    const isJson = answer.headers.get("content-type")?.includes("json");
    const content = isJson ? await answer.json() : {};
    if (answer.ok) return content;
    throw Object.assign(new Error(content.detail ?? answer.statusText), { status: answer.status });
  }

  #show(answer) {
    const text = JSON.stringify(answer);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#tellChanges(answer.readings);
    const focused = this.#host.shadowRoot.activeElement?.dataset.key;
    const actions = {
      mayReview: this.#session.may_review,
      drafts: this.#drafts,
      keyOf,
      say: (...all) => this.say(...all),
      point: (...all) => this.point(...all),
    };
    this.#content.replaceChildren(...contentOf(answer, actions));
    if (focused) this.#focus(this.#content.querySelector(`[data-key="${CSS.escape(focused)}"]`));
  }

  /** Give the focus back; in place of a button that is disabled now, to the text beside it. */
  #focus(element) {
    (element?.disabled ? element.closest(".review").querySelector("textarea") : element)?.focus();
  }

  #tellChanges(readings) {
    const changed = readings.filter((each) => this.#states.get(keyOf(each, "")) === "due" && each.state !== "due");
    if (changed.length) this.#announce(changed.map((each) => `${nameOf(each)}: ${_(STATES[each.state] ?? each.state)}.`).join(" "));
    else if (!this.#states.size) this.#announce("");
    this.#states = new Map(readings.map((each) => [keyOf(each, ""), each.state]));
  }

  #announce(text) {
    this.#status.replaceChildren(text);
  }

  #tell(error) {
    if (error.status === 401) {
      const here = window.location.pathname + window.location.search;
      const link = make("a", { href: `/login?next=${encodeURIComponent(here)}` }, _("Sign in"));
      this.#status.replaceChildren(_("You are signed out."), " ", link);
    } else if (error.status === 404) this.#announce(_("There is no such study here."));
    else if (error.status) {
      this.#status.replaceChildren(_("Not done"), ": ", make("span", { lang: "en" }, error.message));
    } else this.#announce(_("The site does not answer; it is asked again."));
  }
}

function keyOf(reading, lesion) {
  return `${reading.task} ${reading.modality} ${lesion}`;
}

/** Whether something of a reading is still under way: the reading itself, or the report of a review. */
function isToCome(reading) {
  return reading.state === "due" || reading.reviews.some((each) => !each.sop_instance_uid);
}
