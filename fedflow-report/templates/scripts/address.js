// What is chosen in the page, kept in its address: `#timeline?group=train-1`.

const address = {
  // The section that the address names, and the choices in it.
  read() {
    const [section, query = ""] = location.hash.slice(1).split("?");
    return { section, choices: new URLSearchParams(query) };
  },
  // Writes choices without a new entry in the browser's history. Those that are empty are left out.
  write(section, choices) {
    const query = new URLSearchParams(Object.entries(choices).filter(([, value]) => value));
    const text = query.toString();
    history.replaceState(null, "", `#${section}${text ? `?${text}` : ""}`);
  },
};
