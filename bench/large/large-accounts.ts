/** The most that the vendor lets an account hold. */
export const largest = { groups: 32, members: 3000, idBytes: 32 } as const;

const prefix = 'large-';

/** The id of the large account with this number. */
export const largeId = (number: number): string => `${prefix}${number}`;

export const isLarge = (accountId: string): boolean => accountId.startsWith(prefix);

/** What each large account holds: 32 groups of 3,000 friends, with ids as long as may be. */
export function groupsOfLarge() {
  const members = Array.from({ length: largest.members }, (_, place) =>
    `friend-${place}-`.padEnd(largest.idBytes, 'x'),
  );
  return Array.from({ length: largest.groups }, (_, place) => ({
    GroupName: `a group with a long name ${place}`.padEnd(30, 'x'),
    FriendNumber: members.length,
    To_Account: members,
  }));
}
