#!/usr/bin/env bash
# Makes the dumps in this folder by a real MariaDB (Debian 12: mariadb-server 10.11), as root or as its user:
# tables of PhotoPrism with the types that gorm gives them, one dump as it comes and one with --hex-blob; and
# tables of a Nextcloud with facerecognition.
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
CREATE TABLE photos (
  photo_uid VARBINARY(42) NOT NULL PRIMARY KEY, taken_at_local DATETIME, deleted_at DATETIME NULL);
CREATE TABLE passwords (uid VARBINARY(255) PRIMARY KEY, hash VARBINARY(255));
INSERT INTO subjects VALUES ('j1', 'Anna ''Ann'' \\ "O\nSé" 本', 0, NULL), ('j2', 'Ben', 0, '2024-01-01');
INSERT INTO photos VALUES ('p0', '2024-05-31 10:00:00', NULL);
INSERT INTO files VALUES ('f0', 'p0', '2024/it''s (1); a.jpg', NULL);
INSERT INTO markers VALUES
  ('m0', 'f0', 'face', '', 0, 'j1', 'manual', '[[1,2,3,4,5,6,7,8]]', 0.25, 0.5, 0.25, 0.125),
  ('m1', 'f0', 'face', '', 0, 'j2', 'manual', '[[2,3,4,5,6,7,8,9]]', 0.5, 0.5, 0.25, 0.125),
  ('m2', 'f0', 'face', '', 1, '', '', '[[3,4,5,6,7,8,9,10]]', 0.5, 0.25, 1e-3, 0.125),
  ('m3', 'f0', 'face', '', 0, '', '', NULL, 0.5, 0, 0.25, 0.125);
CREATE DATABASE nextcloud CHARACTER SET utf8mb4;
USE nextcloud;
CREATE TABLE oc_filecache (fileid BIGINT PRIMARY KEY, storage BIGINT, path VARCHAR(4000));
CREATE TABLE oc_facerecog_images (id INT PRIMARY KEY, user VARCHAR(64), file INT, model INT);
CREATE TABLE oc_facerecog_faces (
  id INT PRIMARY KEY, image INT, cluster INT, x INT, y INT, width INT, height INT, confidence DOUBLE,
  descriptor JSON NOT NULL);
CREATE TABLE oc_facerecog_clusters (
  id INT PRIMARY KEY, user VARCHAR(64), model INT, is_visible TINYINT(1) DEFAULT 1, person INT);
CREATE TABLE oc_facerecog_persons (id INT PRIMARY KEY, user VARCHAR(64), name VARCHAR(256));
CREATE TABLE oc_users (uid VARCHAR(64) PRIMARY KEY, password VARCHAR(255));
INSERT INTO oc_filecache VALUES (20, 1, 'files/Photos/a.jpg'), (21, 1, 'files/b.jpg');
INSERT INTO oc_facerecog_images VALUES (10, 'anna', 20, 1), (11, 'anna', 21, 1);
INSERT INTO oc_facerecog_persons VALUES (7, 'anna', 'Zoë O''Hara');
INSERT INTO oc_facerecog_clusters VALUES (1, 'anna', 1, 1, 7), (2, 'anna', 1, 0, NULL);
INSERT INTO oc_facerecog_faces VALUES
  (1, 10, 1, 1, 2, 3, 4, 0.99, '[1,2,3,4,5,6,7,8]'), (2, 11, NULL, 1, 2, 3, 4, 0.99, '[2,3,4,5,6,7,8,9]'),
  (3, 11, 2, 1, 2, 3, 4, 0.99, '[3,4,5,6,7,8,9,10]');
SQL
dump=(mariadb-dump --no-defaults --socket="$folder/socket" --skip-dump-date)
"${dump[@]}" photoprism > "$here/photoprism_mariadb_10.11.sql"
"${dump[@]}" photoprism --hex-blob > "$here/photoprism_mariadb_10.11_hex.sql"
"${dump[@]}" nextcloud --complete-insert --extended-insert=FALSE > "$here/nextcloud_mariadb_10.11.sql"
