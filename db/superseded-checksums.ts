/**
 * Checksums of wordings that a migration had in an earlier release, by its name. Databases hold them, and what they
 * made is what today's wording makes. An entry gives the reason for the other wording.
 */
export const supersededChecksums: Readonly<Record<string, readonly string[]>> = {
  // It created tim_reader without a look whether it is there, which takes a right that only an administrator has.
  '0002_analyst_views': ['5a09722310a14a25643d477810d3364981315381e7ab14af8906c62412be53a2'],
};
