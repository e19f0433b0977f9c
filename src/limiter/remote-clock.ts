/** Where moments of another machine's clock lie on ours; all in milliseconds. */
interface RemoteClock {
  /** The other clock showed `time` at some moment between `asked` and `answered` of ours. */
  note(time: number, asked: number, answered: number): void;
  /** Between which two moments of ours `time` of the other clock lies. */
  locate(time: number): { readonly earliest: number; readonly latest: number };
  /** How far apart these two are; infinite before the first answer. */
  uncertaintyMs(): number;
  forget(): void;
}

/** Ours minus theirs, at least and at most. */
interface Bounds {
  readonly least: number;
  readonly most: number;
}

/** A second's worth of questions, in which no clock drifts by more than a tenth of a millisecond. */
const answersKept = 32;
const unknown: Bounds = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY };

/**
 * Every answer bounds the difference between the clocks, and all hold at once: a slow answer says little and spoils
 * nothing, for a quick one before it still counts. Where two contradict each other the other clock was set, or has
 * drifted, and the older ones count no more.
 */
export function createRemoteClock(): RemoteClock {
  let answers: Bounds[] = [];
  let bounds = unknown;

  const together = (): Bounds => ({
    least: Math.max(...answers.map(({ least }) => least)),
    most: Math.min(...answers.map(({ most }) => most)),
  });

  return {
    note(time, asked, answered) {
      answers.push({ least: asked - time, most: answered - time });
      if (answers.length > answersKept) answers.shift();
      for (bounds = together(); bounds.least > bounds.most; bounds = together()) answers.shift();
    },
    uncertaintyMs: () => bounds.most - bounds.least,
    locate: (time) => ({ earliest: time + bounds.least, latest: time + bounds.most }),
    forget() {
      answers = [];
      bounds = unknown;
    },
  };
}
