// The page: who is signed in, and which view is on the screen.

import { Api, Problem } from "./api.js";
import { $, announce, clearProblem, showProblem } from "./dom.js";
import { Events } from "./events.js";
import { Extracts } from "./extracts.js";
import { Saved } from "./saved.js";
import { Selection } from "./selection.js";

const TITLES = { events: "Events", extracts: "Extracts", saved: "Saved extracts" };

const ASK = "Check that you copied all of it. An operator can tell whether it was withdrawn, and give you a new one.";

const api = new Api(expired);
const selection = new Selection(tenantChanged);
const events = new Events(api);
const extracts = new Extracts(api, selection);
const saved = new Saved(api, selection, extracts);
let me = null;

$("sign-in-form").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", () => { leave(); announce("You are signed out."); });
$("selection").addEventListener("submit", (event) => { event.preventDefault(); look(); });
$("to-extract").addEventListener("click", () => { location.hash = "#extracts"; });
addEventListener("hashchange", () => { if (me && view() in TITLES) show(true); });
$("token").focus();

const view = () => location.hash.slice(1) || "events";

async function signIn(submitted) {
  submitted.preventDefault();
  clearProblem();
  try {
    const [who, columns] = await Promise.all([api.signIn($("token").value.trim()), described()]);
    me = who;
    enter(columns);
  } catch (problem) {
    showProblem(problem.status === 401 ? new Problem(401, "The token is not known.", ASK) : problem);
    $("token").focus();
    $("token").select();
  }
}

const described = async () => (await fetch("/page/columns.json")).json();

function enter(columns) {
  $("token").value = "";
  $("who").textContent = me.name;
  selection.open(me, columns);
  events.open(columns);
  extracts.open(me, columns);
  for (const id of ["nav", "session"]) $(id).hidden = false;
  $("sign-in").hidden = true;
  const mayExtract = me.rights.includes("extract");
  for (const link of document.querySelectorAll('#nav a:not([href="#events"])')) link.parentElement.hidden = !mayExtract;
  $("to-extract").hidden = !mayExtract;
  if (!(view() in TITLES) || !mayExtract) location.hash = "#events";
  show(true);
  if (!me.tenants.length) showProblem(new Problem(403, "Your token has no tenant.", "An operator adds one to your principal."));
}

// Forgets the session and everything that was shown in it.
function leave() {
  me = null;
  api.signOut();
  for (const part of [events, extracts, saved]) part.clear();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const id of ["nav", "session", "selection", "events-view", "extracts-view", "saved-view"]) $(id).hidden = true;
  for (const id of ["detail", "tenant", "filter-list", "who", "extract-selection", "saved-range"]) $(id).replaceChildren();
  clearProblem();
  $("sign-in").hidden = false;
  entitle("Audit events and extracts", "Sign in");
  $("token").focus();
}

function expired() {
  leave();
  showProblem(new Problem(401, "The token is no longer known.", `Sign in again. ${ASK}`));
}

// The view the address names; focus goes to its title.
function show(focus) {
  const name = view() in TITLES ? view() : "events";
  clearProblem();
  entitle(TITLES[name], TITLES[name]);
  $("selection").hidden = name !== "events";
  for (const one of Object.keys(TITLES)) {
    $(`${one}-view`).hidden = one !== name;
    const link = document.querySelector(`#nav a[href="#${one}"]`);
    if (one === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (focus) $("title").focus();
  if (name === "extracts") extracts.show();
  if (name === "saved") saved.show();
}

function entitle(heading, title) {
  $("title").textContent = heading;
  document.title = `${title} · Auditwire`;
}

async function look() {
  clearProblem();
  let asked;
  selection.renew();
  try {
    asked = selection.read();
  } catch (problem) {
    showProblem(problem);
    return;
  }
  const types = await events.show(asked);
  if (types) selection.eventTypes(types);
}

function tenantChanged() {
  for (const part of [events, extracts, saved]) part.clear();
}
