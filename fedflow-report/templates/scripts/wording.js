// How numbers and lengths of time are written: as in the tables, which Rust wrote.

function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const two = (part) => String(part).padStart(2, "0");
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

// A time on an axis.
function clock(seconds) {
  if (seconds < 60 || seconds % 1 !== 0) return `${number(seconds)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours >= 48 && whole % 86400 === 0) return `${whole / 86400} d`;
  if (minutes === 0 && rest === 0) return `${hours} h`;
  if (hours === 0) return rest ? `${minutes}:${String(rest).padStart(2, "0")} min` : `${minutes} min`;
  return `${hours}:${String(minutes).padStart(2, "0")}${rest ? `:${String(rest).padStart(2, "0")}` : ""} h`;
}

// A number with about five significant digits.
function number(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const text = size !== 0 && (size < 1e-4 || size >= 1e9) ? value.toExponential(3) : String(Number(value.toPrecision(size >= 1e5 ? 10 : 5)));
  return text.replaceAll("-", "−");
}

function counted(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

const percent = (share) => `${Number((share * 100).toFixed(share < 0.1 ? 1 : 0))} %`;
const sizeInGigabytes = (gigabytes) => `${number(Number(gigabytes.toPrecision(4)))} GB`;
