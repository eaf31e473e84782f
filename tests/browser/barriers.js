// The barriers on a page for people who do not see it, or not well (WCAG 2.2, A and AA): a list of sentences.
() => {
  const barriers = [];
  const say = (element, what) => barriers.push(`${element.outerHTML.slice(0, 80)}: ${what}`);
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const text = (ids) => ids.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const name = (element) =>
    element.getAttribute("aria-label")?.trim() || text(element.getAttribute("aria-labelledby") ?? "") ||
    element.textContent.trim() || element.getAttribute("alt") || element.getAttribute("title");

  // 3.1.1, 2.4.2: language and title.
  if (!/^[a-z]{2,3}(-|$)/.test(document.documentElement.lang)) barriers.push("the page names no language");
  if (!document.title.trim()) barriers.push("the page has no title");

  // 1.3.1, 2.4.1: one main part, one first heading, no level left out.
  if (all("main").length !== 1) barriers.push(`${all("main").length} main parts`);
  if (all("h1").length !== 1) barriers.push(`${all("h1").length} first headings`);
  let before = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const level = Number(heading.tagName[1]);
    if (level > before + 1) say(heading, `a heading of level ${level} after level ${before}`);
    if (!name(heading)) say(heading, "an empty heading");
    before = level;
  }

  // 1.3.1, 4.1.2: every control has a name, every reference something it refers to.
  for (const control of all("input:not([type=hidden]), select, textarea"))
    if (![...(control.labels ?? [])].some((label) => label.textContent.trim()) && !control.getAttribute("aria-label"))
      say(control, "no label");
  for (const control of all("button, a[href]")) if (!name(control)) say(control, "no name");
  for (const image of all("img")) if (!image.hasAttribute("alt")) say(image, "no alternative text");
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"])
    for (const element of document.querySelectorAll(`[${attribute}]`))
      for (const id of element.getAttribute(attribute).split(/\s+/))
        if (!document.getElementById(id)) say(element, `${attribute} names nothing`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((each, at) => ids.indexOf(each) !== at))) barriers.push(`two elements are #${id}`);

  // 1.4.3: contrast of text with the colour behind it.
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (channel) => (channel /= 255) <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parts(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parts(style.color)), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) say(element, `contrast ${contrast.toFixed(2)}`);
  }

  // 1.4.10: nothing has to be scrolled sideways on a telephone.
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
    barriers.push(`the page is ${document.documentElement.scrollWidth} wide`);
  return barriers;
}
