/** Values that were read from files, such as a mounted Secret, and are read again when they are needed. */
interface FreshFiles {
  /** `value` was read by `read`, which belongs to the variable `name`. */
  remember(value: string, name: string, read: () => string): void;
  /**
   * What the file of `value` holds now, at most a second old; `value` itself where it came from no file. While the file is
   * empty or can't be read, the last good text.
   */
  fresh(value: string): string;
  /** Calls back when a file holds another text than before, and once when one can't be used. Replaces the last listener. */
  listen(listener: FreshFilesListener): void;
}

interface FreshFilesListener {
  readonly onChange: (name: string, text: string) => void;
  readonly onProblem: (name: string, error: unknown) => void;
}

interface File {
  readonly name: string;
  readonly read: () => string;
  last: string;
  readAt: number;
  failing: boolean;
}

const keptMs = 1000;

/** No file yet. `now` in milliseconds, monotonic. */
export function createFreshFiles(now: () => number = () => performance.now()): FreshFiles {
  const files = new Map<string, File>();
  let listener: FreshFilesListener | undefined;

  function look(file: File): void {
    try {
      const text = file.read().trim();
      if (text === '') throw new Error('it is empty');
      file.failing = false;
      if (text === file.last) return;
      file.last = text;
      listener?.onChange(file.name, text);
    } catch (error) {
      if (!file.failing) listener?.onProblem(file.name, error);
      file.failing = true;
    }
  }

  return {
    remember(value, name, read) {
      files.set(value, { name, read, last: value, readAt: now(), failing: false });
    },
    fresh(value) {
      const file = files.get(value);
      if (file === undefined) return value;
      if (now() - file.readAt >= keptMs) {
        file.readAt = now();
        look(file);
      }
      return file.last;
    },
    listen(next) {
      listener = next;
    },
  };
}

/** The files of this process. */
export const freshFiles = createFreshFiles();
