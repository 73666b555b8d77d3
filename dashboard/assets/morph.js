// Makes an element say what a piece of HTML says by changing only what differs, so that the focus,
// a selection and an open list stay where they are while values change every two seconds.

export function morph(element, html) {
  const fresh = element.cloneNode(false);
  fresh.innerHTML = html;
  settle(element, fresh);
}

function settle(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((node, at) => {
    const present = before[at];
    if (!present) {
      old.append(node);
    } else if (present.nodeType !== node.nodeType || present.nodeName !== node.nodeName) {
      present.replaceWith(node);
    } else if (node.nodeType !== Node.ELEMENT_NODE) {
      if (present.nodeValue !== node.nodeValue) present.nodeValue = node.nodeValue;
    } else {
      copyAttributes(present, node);
      // An age is told by the browser's own clock; a piece carries none.
      if (!present.classList.contains('age')) settle(present, node);
    }
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function copyAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}
