-- An account that was enrolled and not polled yet is called so; “pending” is said of removals that await confirmation.
alter type mirror.account_status rename value 'pending' to 'never_polled';
alter view tim.freshness rename column never_read to never_polled;

comment on column tim.accounts.status is
  'never_polled: enrolled, not read yet; active: mirrored; gone: the vendor says it does not exist; quarantined: the vendor or the mirror cannot handle it, see last_error.';
comment on column tim.freshness.never_polled is 'Accounts that were enrolled and not read yet.';
