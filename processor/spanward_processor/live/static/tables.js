// Tables that become lists where there is no room for columns.

import { html } from "./vendor/htm-preact.js";

// `columns` are names; each of `rows` is {key, tone, cells}, a cell being what is shown under its column's name.
export function Table({ label, columns, rows }) {
  return html`<table class="plain" aria-label=${label}>
    <thead>
      <tr>
        ${columns.map((name) => html`<th key=${name} scope="col">${name}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ key, tone, cells: [first, ...rest] }) => html`<tr key=${key} class=${tone ?? ""}>
          <th scope="row">${first}</th>
          ${rest.map((cell, place) => html`<td key=${place} data-column=${columns[place + 1]}>${cell}</td>`)}
        </tr>`,
      )}
    </tbody>
  </table>`;
}
