element.addEventListener('click', (e) => {
  const b = e.target.closest('[data-i]');
  if (b && element.contains(b)) trigger('select', { index: Number(b.dataset.i) });
});
