// Asks for the page anew, and puts its figures in place of those shown; what is unfolded, in focus or scrolled stays.
const every = 1000 * Number(document.querySelector("script[data-every]").dataset.every);
const lost = document.getElementById("lost");

async function renew() {
  if (document.hidden || !document.getSelection().isCollapsed) return; // nobody looks, or somebody is copying
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw answer.status;
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

function show(news) {
  const main = news.querySelector("main");
  for (const open of document.querySelectorAll("details[open]")) main.querySelector(`#${open.id}`)?.setAttribute("open", "");
  const focused = document.activeElement.closest("details")?.id;
  document.querySelector("main").replaceWith(document.adoptNode(main));
  document.title = news.title;
  if (focused) document.querySelector(`#${focused} > summary`)?.focus({ preventScroll: true });
}

setInterval(renew, every);
