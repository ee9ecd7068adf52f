-- What a Synapse knows of who wrote to whom, and when: no content, no name of a room.
-- A room that only ever had two people is a direct chat. Times are seconds.
-- Leave out the last part before Synapse 1.133, which has no table of reports of accounts.
WITH people AS (
  SELECT DISTINCT room_id, user_id FROM room_memberships WHERE membership IN ('join', 'invite')
), direct AS (
  SELECT room_id, MIN(user_id) AS one, MAX(user_id) AS other
  FROM people GROUP BY room_id HAVING COUNT(*) = 2
), invited AS (
  SELECT room_id, user_id, MIN(sender) AS by_whom
  FROM room_memberships WHERE membership = 'invite' AND sender <> user_id
  GROUP BY room_id, user_id
), acts AS (
  SELECT e.received_ts AS ms, 'message.sent' AS type, e.sender AS account,
    CASE e.sender WHEN d.one THEN d.other WHEN d.other THEN d.one END AS peer,
    CASE WHEN e.sender IN (d.one, d.other) THEN NULL ELSE e.room_id END AS "group"
  FROM events e LEFT JOIN direct d ON d.room_id = e.room_id
  WHERE e.type IN ('m.room.message', 'm.room.encrypted', 'm.sticker')
UNION ALL
  SELECT e.received_ts, CASE WHEN d.room_id IS NULL THEN 'group.member_added' ELSE 'contact.requested' END,
    m.sender, m.user_id, CASE WHEN d.room_id IS NULL THEN m.room_id END
  FROM room_memberships m JOIN events e ON e.event_id = m.event_id LEFT JOIN direct d ON d.room_id = m.room_id
  WHERE m.membership = 'invite' AND m.sender <> m.user_id
UNION ALL
  SELECT MIN(e.received_ts), CASE WHEN MIN(d.room_id) IS NULL THEN 'group.joined' ELSE 'contact.accepted' END,
    m.user_id, CASE WHEN MIN(d.room_id) IS NOT NULL THEN MIN(i.by_whom) END,
    CASE WHEN MIN(d.room_id) IS NULL THEN m.room_id END
  FROM room_memberships m JOIN events e ON e.event_id = m.event_id
    LEFT JOIN direct d ON d.room_id = m.room_id
    LEFT JOIN invited i ON i.room_id = m.room_id AND i.user_id = m.user_id
  WHERE m.membership = 'join' AND (d.room_id IS NULL OR i.by_whom IS NOT NULL)
  GROUP BY m.room_id, m.user_id
UNION ALL
  SELECT 1000 * creation_ts, 'account.registered', name, NULL, NULL FROM users WHERE is_guest = 0
UNION ALL
  SELECT r.received_ts, 'user.reported', r.user_id, e.sender, NULL
  FROM event_reports r JOIN events e ON e.event_id = r.event_id
UNION ALL
  SELECT received_ts, 'user.reported', user_id, target_user_id, NULL FROM user_reports
)
SELECT ROUND(ms / 1000.0, 3) AS ts, type, account, peer, "group",
  CASE WHEN account NOT IN (SELECT name FROM users WHERE name IS NOT NULL) THEN SUBSTR(account, {find}(account, ':') + 1) END
    AS origin
FROM acts WHERE account IS NOT NULL ORDER BY 1
