/** An element with text or other elements in it. Text stays text: nothing here reads HTML. */
export function element(name, { className, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (className !== undefined) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** A table of rows; a column is `[title, class]`. */
export function table(columns, rows) {
  const head = columns.map(([title, className]) => element('th', { className, scope: 'col' }, title));
  const body = rows.map((row) =>
    element('tr', {}, ...row.map((cell, index) => element('td', { className: columns[index][1] }, cell))),
  );
  return element(
    'div',
    { className: 'scroll' },
    element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...body)),
  );
}

/** A short paragraph in a quiet colour. */
export function quiet(text) {
  return element('p', { className: 'quiet' }, text);
}
