// Draws the charts of the page from the data in it, and follows its address.

const data = JSON.parse(document.getElementById("data").textContent);

// The parts of the page by the name of their section, each with what it does when the address names choices in it.
const sections = {};

for (const section of ["results", "items"]) {
  const figures = document.querySelectorAll(`#${section} .chart`);
  data[section].forEach((chart, place) => drawCurve(figures[place], chart));
}

if (data.experiment) sections.experiment = drawExperiment(document.getElementById("experiment"), data.experiment);

if (data.timeline) {
  const place = document.querySelector("#timeline .drawing");
  markGaps(data.timeline.cards);
  let drawn = null;
  const draw = () => (drawn ??= drawTimeline(place, document.querySelector("#timeline .details"), data.timeline));
  drawWhenSeen(place, timelineHeight(data.timeline), draw);
  // A group's page links to its stretch of the timeline.
  sections.timeline = (choices) => {
    const band = data.timeline.bands[data.timeline.groups.indexOf(choices.get("group"))];
    if (band) draw().show(...band);
  };
}

function follow() {
  const { section, choices } = address.read();
  if (!(section in sections)) return;
  sections[section](choices);
  document.getElementById(section).scrollIntoView();
}
addEventListener("hashchange", follow);
follow();
