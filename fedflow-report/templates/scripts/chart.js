// One chart: its place in the page, its tools, its size, and the colours of light and dark mode.

const darkness = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

// The page's own colours.
function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    font: getComputedStyle(document.body).fontFamily,
    lines: [0, 1, 2, 3, 4, 5].map((place) => colour(`s${place}`)),
    dashes: ["solid", [7, 3], [2, 4], [9, 3, 2, 3], [4, 3], [1, 3]],
    ink: colour("ink"), soft: colour("soft"), line: colour("line"), card: colour("card"), bad: colour("bad"),
    idle: colour("idle"), train: colour("train"), load: colour("load"), wait: colour("wait"), failed: colour("failed"),
  };
}

// What all charts have in common.
function basics(colours) {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: colours.font, color: colours.soft, fontSize: 12 },
    tooltip: {
      // Text on the canvas: the policy of the page allows no inline styles.
      renderMode: "richText",
      confine: true,
      backgroundColor: "#101418",
      borderWidth: 0,
      textStyle: { color: "#f2f5f8", fontFamily: colours.font, fontSize: 13, lineHeight: 18 },
      axisPointer: { lineStyle: { color: colours.soft }, label: { show: false } },
    },
  };
}

// Wheel with Ctrl zooms and dragging moves, so that the page can be scrolled past a chart.
const zoomByPointer = (axis) => ({
  type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false,
  moveOnMouseMove: !matchMedia("(pointer: coarse)").matches, minSpan: 0.0001, ...axis,
});

// Draws a chart into an element. `option(colours)` is asked again when the colours or the choices change.
function drawChart(place, { option, height, name, tools = [], drawn = () => {} }) {
  const bar = document.createElement("div");
  bar.className = "chart-tools";
  const canvas = document.createElement("div");
  canvas.className = "canvas";
  canvas.style.height = `${height}px`;
  place.append(bar, canvas);
  const chart = echarts.init(canvas, null, { renderer: "canvas" });
  const draw = () => {
    const colours = theme();
    chart.setOption({ ...basics(colours), ...option(colours) }, { notMerge: true });
    drawn(chart, colours);
  };
  const reset = () => {
    for (let index = 0; index < (chart.getOption().dataZoom ?? []).length; index += 1) {
      chart.dispatchAction({ type: "dataZoom", dataZoomIndex: index, start: 0, end: 100 });
    }
  };
  for (const { label, title, toggle, pressed = false } of tools) {
    const button = toolButton(label, title);
    button.setAttribute("aria-pressed", String(pressed));
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(toggle()));
      draw();
    });
    bar.append(button);
  }
  const whole = toolButton("Whole", "Shows everything again after a zoom");
  whole.addEventListener("click", reset);
  const save = toolButton("Save", "Saves the chart as a picture");
  save.addEventListener("click", () => savePicture(chart, name));
  bar.append(whole, save);
  chart.getZr().on("dblclick", reset);
  let width = canvas.clientWidth;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    chart.resize();
    draw();
  }).observe(canvas);
  darkness.addEventListener("change", draw);
  // Printed pages are light: the print style sheet sets the colours.
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
  draw();
  return { chart, draw, canvas };
}

function toolButton(label, title) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.title = title;
  return button;
}

function savePicture(chart, name) {
  const link = document.createElement("a");
  link.href = chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: theme().card });
  link.download = `${name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.png`;
  link.click();
}

// Draws when the place comes near the window: a page with many charts is there at once. The place keeps the room, so
// that nothing moves then.
function drawWhenSeen(place, height, draw) {
  place.style.minHeight = `${height + 28}px`;
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    draw();
  }, { rootMargin: "400px" });
  watch.observe(place);
  addEventListener("beforeprint", () => {
    if (!place.querySelector("canvas")) {
      watch.disconnect();
      draw();
    }
  });
}
