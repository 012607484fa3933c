#!/usr/bin/env bash
# Makes the dumps in this folder by a real MariaDB (Debian 12: mariadb-server 10.11), as root or as its user:
# tables of PhotoPrism with the types that gorm gives them, one dump as it comes and one with --hex-blob.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
chown mysql "$folder"
trap 'kill "$server"; wait "$server" || true; rm -rf "$folder"' EXIT
mariadb-install-db --no-defaults --user=mysql --datadir="$folder/data" --skip-test-db > /dev/null
mariadbd --no-defaults --user=mysql --datadir="$folder/data" --socket="$folder/socket" --skip-networking \
    2> "$folder/log" &
server=$!
until mariadb-admin --no-defaults --socket="$folder/socket" ping > /dev/null 2>&1; do sleep 0.2; done
mariadb --no-defaults --socket="$folder/socket" <<'SQL'
CREATE DATABASE photoprism CHARACTER SET utf8mb4;
USE photoprism;
CREATE TABLE markers (
  marker_uid VARBINARY(42) NOT NULL PRIMARY KEY, file_uid VARBINARY(42) DEFAULT '',
  marker_type VARBINARY(8) DEFAULT '', marker_name VARCHAR(160), marker_invalid TINYINT(1),
  subj_uid VARBINARY(42), subj_src VARBINARY(8) DEFAULT '', embeddings_json MEDIUMBLOB,
  x FLOAT, y FLOAT, w FLOAT, h FLOAT, KEY idx_markers_subj_uid_src (subj_uid, subj_src));
CREATE TABLE subjects (
  subj_uid VARBINARY(42) NOT NULL PRIMARY KEY, subj_name VARCHAR(160) DEFAULT '',
  subj_hidden TINYINT(1) DEFAULT 0, deleted_at DATETIME NULL);
CREATE TABLE files (
  file_uid VARBINARY(42) NOT NULL PRIMARY KEY, photo_uid VARBINARY(42), file_name VARBINARY(1024),
  deleted_at DATETIME NULL);
CREATE TABLE photos (photo_uid VARBINARY(42) NOT NULL PRIMARY KEY, taken_at_local DATETIME, deleted_at DATETIME NULL);
CREATE TABLE passwords (uid VARBINARY(255) PRIMARY KEY, hash VARBINARY(255));
INSERT INTO subjects VALUES ('j1', 'Anna ''Ann'' \\ "O\nSé" 本', 0, NULL), ('j2', 'Ben', 0, '2024-01-01');
INSERT INTO photos VALUES ('p0', '2024-05-31 10:00:00', NULL);
INSERT INTO files VALUES ('f0', 'p0', '2024/it''s (1); a.jpg', NULL);
INSERT INTO markers VALUES
  ('m0', 'f0', 'face', '', 0, 'j1', 'manual', '[[1,2,3,4,5,6,7,8]]', 0.25, 0.5, 0.25, 0.125),
  ('m1', 'f0', 'face', '', 0, 'j2', 'manual', '[[2,3,4,5,6,7,8,9]]', 0.5, 0.5, 0.25, 0.125),
  ('m2', 'f0', 'face', '', 1, '', '', '[[3,4,5,6,7,8,9,10]]', 0.5, 0.25, 1e-3, 0.125),
  ('m3', 'f0', 'face', '', 0, '', '', NULL, 0.5, 0, 0.25, 0.125);
SQL
dump=(mariadb-dump --no-defaults --socket="$folder/socket" --skip-dump-date photoprism)
"${dump[@]}" > "$here/photoprism_mariadb_10.11.sql"
"${dump[@]}" --hex-blob > "$here/photoprism_mariadb_10.11_hex.sql"
