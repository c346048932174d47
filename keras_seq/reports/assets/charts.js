(() => {
  'use strict';
  const narrow = () => window.matchMedia('(max-width: 640px)').matches;
  let asked;
  const library = () => asked ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById('plotly').textContent.trim()), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    const script = document.createElement('script');
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })();
  const fit = chart => {  // so that print can scale the drawing as a whole
    const box = chart.querySelector('.svg-container');
    if (!box || !box.offsetHeight) return;
    chart.style.setProperty('--ratio', `${box.offsetWidth} / ${box.offsetHeight}`);
    for (const svg of chart.querySelectorAll('.main-svg')) {
      svg.setAttribute('viewBox', `0 0 ${svg.getAttribute('width')} ${svg.getAttribute('height')}`);
    }
  };
  const draw = chart => {
    if (chart.dataset.drawn || !window.Plotly) return;
    chart.dataset.drawn = 'yes';
    const figure = JSON.parse(document.getElementById(chart.id + '-data').textContent);
    chart.replaceChildren();
    if (narrow()) {
      figure.layout.dragmode = false;  // a finger scrolls the page
      const grid = figure.layout.grid;
      if (grid && grid.columns > 1) {  // panels below each other
        const count = Object.keys(figure.layout).filter(name => name.startsWith('xaxis')).length;
        figure.layout.height *= count / grid.rows;
        Object.assign(grid, { rows: count, columns: 1 });
      }
    }
    Plotly.newPlot(chart, figure.data, figure.layout, {
      responsive: true, displaylogo: false, scrollZoom: false, displayModeBar: narrow() ? false : 'hover',
      modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d'],
    }).then(() => { fit(chart); chart.on('plotly_afterplot', () => fit(chart)); chart.dataset.done = 'yes'; });
  };
  const charts = [...document.querySelectorAll('.chart')];
  if (!('DecompressionStream' in window)) {
    for (const chart of charts) chart.textContent = 'Charts need a browser of 2023 or later; the numbers are below.';
    return;
  }
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) {
      seen.unobserve(entry.target);
      library().then(() => draw(entry.target));
    }
  }, { rootMargin: '300px 0px' });
  for (const chart of charts) seen.observe(chart);
  const idle = window.requestIdleCallback || (later => setTimeout(later, 300));
  window.addEventListener('load', () => idle(() => library()));  // unpacked by the time somebody prints
  window.addEventListener('beforeprint', () => { for (const chart of charts) draw(chart); });
})();
