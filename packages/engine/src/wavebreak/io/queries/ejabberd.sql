-- What an ejabberd's message archive (mod_mam) knows of who wrote to whom, and when, in either of its
-- schemas of SQL. Times are seconds. Which way a message went, and the server's name in the older schema,
-- stand in the start tag of its stanza alone: the query reads that tag where it is stored, and nothing
-- else of a stanza leaves the database. A message between two people of this server is archived twice,
-- and counts by its sender's copy. What was written in a room is archived once, under the room's name.
WITH copies AS (
  SELECT timestamp / 1000000.0 AS ts, username, bare_peer AS other, kind,
    SUBSTR(xml, 1, {find}(xml, '>')) AS tag
  FROM archive
), directed AS (
  SELECT ts, username, other,
    {find}(tag, ' from=''' || username || '@') > 0 AS outgoing,
    SUBSTR(tag, {find}(tag, '=''' || username || '@') + 2) AS rest
  FROM copies
  WHERE kind = 'chat' AND {find}(tag, '=''' || username || '@') > 0
), named AS (
  SELECT ts, other, outgoing, SUBSTR(rest, 1, {find}(rest, '''') - 1) AS address,
    SUBSTR(other, {find}(other, '@') + 1) AS domain
  FROM directed
), bare AS (
  SELECT ts, other, outgoing, domain,
    CASE WHEN {find}(address, '/') > 0 THEN SUBSTR(address, 1, {find}(address, '/') - 1)
      ELSE address END AS own
  FROM named
), hosts AS (
  SELECT DISTINCT SUBSTR(own, {find}(own, '@') + 1) AS host FROM bare
)
SELECT ts, 'message.sent' AS type, CASE WHEN outgoing THEN own ELSE other END AS account,
  CASE WHEN outgoing THEN other ELSE own END AS peer, NULL AS "group",
  CASE WHEN NOT outgoing THEN domain END AS origin
FROM bare
WHERE outgoing OR domain NOT IN (SELECT host FROM hosts)
UNION ALL
SELECT ts, 'message.sent', other, NULL, username, CASE
    WHEN SUBSTR(other, {find}(other, '@') + 1) NOT IN (SELECT host FROM hosts)
    THEN SUBSTR(other, {find}(other, '@') + 1) END
FROM copies
WHERE kind = 'groupchat' AND {find}(username, '@') > 0 AND {find}(other, '@') > 0
ORDER BY 1
