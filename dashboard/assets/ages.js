// Ages of values by the browser's own clock, in the words that the page carries. The server says
// the same in formats.py and card_words.py.

export function durationWords(seconds, words) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(whole / 3600);
  const days = Math.floor(whole / 86400);
  if (whole < 60) return fill(words['duration.seconds'], { n: whole });
  if (minutes < 60) return fill(words['duration.minutes'], { n: minutes });
  if (hours < 24) return fill(words['duration.hours'], { n: hours, m: minutes % 60 });
  return fill(words['duration.days'], { n: days, m: hours % 24 });
}

export function ageState(timeMs, lateMs, staleMs, nowMs) {
  if (timeMs === null) return 'no_data';
  const age = nowMs - timeMs;
  if (age > staleMs) return 'stale';
  return age > lateMs ? 'late' : 'normal';
}

export function ageWords(state, timeMs, nowMs, words) {
  if (timeMs === null) return words['age.none'];
  const duration = durationWords((nowMs - timeMs) / 1000, words);
  return fill(words[`age.${state}`], { duration });
}

export function fill(pattern, values) {
  return pattern.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}
