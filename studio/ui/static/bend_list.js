const slider = (e) => e.target.closest('input[data-address]');
const move = (input, release) => window.studioLive.move('bend', [input.dataset.address, Number(input.value)], release);
element.addEventListener('input', (e) => {
  const input = slider(e);
  if (!input) return;
  e.stopPropagation();
  input.nextElementSibling.value = input.value;
  move(input, false);
});
element.addEventListener('change', (e) => {
  const input = slider(e);
  if (!input) return;
  e.stopPropagation();
  move(input, true);
  trigger('release');  // the picture of the layer follows
});
element.addEventListener('click', (e) => {
  const button = e.target.closest('[data-act]');
  if (button) trigger('select', { index: Number(button.closest('[data-i]').dataset.i), act: button.dataset.act });
});
// A list that is drawn anew, as after an undo, is patched into the old one, where a slider that was moved would stay.
new MutationObserver(() => {
  for (const input of element.querySelectorAll('input[data-address]')) {
    input.value = input.getAttribute('value');
    input.nextElementSibling.value = input.value;
  }
}).observe(element, { subtree: true, attributes: true, attributeFilter: ['data-drawn'] });
