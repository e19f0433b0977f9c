import uPlot from './uplot.js';

const height = 200;

/** A plot of calls a second against the limit, as wide as its place, drawn again with every `show`. */
export function createCallPlot(place) {
  let plot;
  let seen;
  const colours = matchMedia('(prefers-color-scheme: dark)');
  const observer = new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height }));
  observer.observe(place);
  colours.addEventListener('change', draw);

  function draw() {
    if (seen === undefined) return;
    plot?.destroy();
    plot = new uPlot(optionsFor(place, seen.limit), seen.data, place);
  }

  return {
    show({ from, calls, seconds, limit }) {
      const times = calls.map((_, index) => from + index * seconds);
      const data = [times, calls.map((sent) => sent / seconds), calls.map(() => limit)];
      const changed = seen?.limit !== limit;
      seen = { data, limit };
      if (plot === undefined || changed) draw();
      else plot.setData(data);
    },
  };
}

function optionsFor(place, limit) {
  const style = getComputedStyle(place);
  const colour = (name) => style.getPropertyValue(name).trim();
  // A canvas knows no light-dark(): the browser is asked what it comes to.
  const resolved = (name) => {
    place.style.color = colour(name);
    const { color } = getComputedStyle(place);
    place.style.color = '';
    return color;
  };
  const axis = {
    stroke: resolved('--quiet'),
    grid: { stroke: resolved('--edge'), width: 1 },
    ticks: { stroke: resolved('--edge'), width: 1 },
  };
  return {
    width: place.clientWidth,
    height,
    // Room for the last time of day.
    padding: [null, 28, null, null],
    cursor: { y: false },
    scales: { y: { range: (_plot, _least, most) => [0, Math.max(limit, most) * 1.1] } },
    axes: [
      { ...axis, values: (_plot, times) => times.map(clock) },
      { ...axis, size: 44 },
    ],
    series: [
      { label: 'at', value: (_plot, time) => (time === null ? '–' : clock(time)) },
      {
        label: 'calls a second',
        stroke: resolved('--accent'),
        width: 2,
        points: { show: false },
        value: (_plot, rate) => (rate === null ? '–' : rate.toFixed(1)),
      },
      {
        label: 'limit',
        stroke: resolved('--limit'),
        width: 1.5,
        dash: [6, 4],
        points: { show: false },
        value: () => limit,
      },
    ],
  };
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}
