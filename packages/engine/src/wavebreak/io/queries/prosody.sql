-- What a Prosody's message archive (mod_mam) knows of who wrote to whom, and when. Times are seconds.
-- Which way a message went stands in the start tag of its stanza alone: the query compares that tag
-- where it is stored, and nothing of a stanza leaves the database. A message between two people of this
-- server is archived twice, and counts by its sender's copy.
WITH copies AS (
  SELECT "when" AS ts, "user" || '@' || host AS own, "with" AS other,
    SUBSTR(value, 1, {find}(value, '>')) AS tag
  FROM prosodyarchive WHERE store = 'archive'
), directed AS (
  SELECT ts, own, other, SUBSTR(other, {find}(other, '@') + 1) AS domain,
    {find}(tag, ' from=''' || own || '/') + {find}(tag, ' from=''' || own || '''') > 0 AS outgoing
  FROM copies
)
SELECT ts, 'message.sent' AS type, CASE WHEN outgoing THEN own ELSE other END AS account,
  CASE WHEN outgoing THEN other ELSE own END AS peer, NULL AS "group",
  CASE WHEN NOT outgoing THEN domain END AS origin
FROM directed
WHERE outgoing OR domain NOT IN (SELECT DISTINCT host FROM prosodyarchive)
ORDER BY 1
