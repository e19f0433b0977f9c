/** Whether calls fail for many accounts, so that a failure says nothing of the account it hit. */
interface VendorHealth {
  note(failed: boolean): void;
  isUnhealthy(): boolean;
}

const remembered = 100;
/** Far above what a healthy vendor shows, far below what an outage does. */
const unhealthyFrom = 5;

/** Looks at the last hundred polls of an app. */
export function createVendorHealth(): VendorHealth {
  const last: boolean[] = [];
  let failures = 0;
  return {
    note(failed) {
      last.push(failed);
      if (failed) failures += 1;
      if (last.length > remembered && last.shift() === true) failures -= 1;
    },
    isUnhealthy: () => failures >= unhealthyFrom,
  };
}
