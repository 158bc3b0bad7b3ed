-- In which groups somebody decided, and why (JSON): their own, those in which they stood in for others, and the seats
-- that were open to them because nobody decided in time. Counted again with what still holds of it.
ALTER TABLE approval_decision ADD COLUMN standing TEXT;
ALTER TABLE approval_grant_person ADD COLUMN standing TEXT;
