// Sliders, boxes and lists of parameters, each with its address; what they are set to goes to the live channel.
const changed = (e) => e.target.closest('[data-address]');
const value = (input) => input.type === 'checkbox' ? Number(input.checked) : input.tagName === 'SELECT' ? input.value : Number(input.value);
const show = (input) => { if (input.nextElementSibling?.tagName === 'OUTPUT') input.nextElementSibling.value = input.value; };
const move = (input, release) => {
  window.studioLive.move(input.closest('[data-control]').dataset.control, [input.dataset.address, value(input)], release);
};
element.addEventListener('input', (e) => {
  const input = changed(e);
  if (!input) return;
  e.stopPropagation();
  show(input);
  move(input, false);
});
element.addEventListener('change', (e) => {
  const input = changed(e);
  if (!input) return;
  e.stopPropagation();
  move(input, true);
  trigger('release');
});
element.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button) return;
  if (button.dataset.act) return trigger('select', { index: Number(button.closest('[data-i]')?.dataset.i), act: button.dataset.act });
  const input = button.closest('.row').querySelector('[data-address]');
  input.value = button.dataset.reset;
  for (const kind of ['input', 'change']) input.dispatchEvent(new Event(kind, { bubbles: true }));
});
// What is drawn anew, as after an undo, is patched into what was there, where a slider that was moved would stay.
new MutationObserver(() => {
  for (const input of element.querySelectorAll('[data-address]')) {
    if (input.type === 'checkbox') input.checked = input.hasAttribute('checked');
    else if (input.tagName === 'SELECT') input.value = input.querySelector('[selected]').value;
    else input.value = input.getAttribute('value');
    show(input);
  }
}).observe(element, { subtree: true, attributes: true, attributeFilter: ['data-drawn'] });
