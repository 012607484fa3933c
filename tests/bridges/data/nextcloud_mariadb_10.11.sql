/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.18-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: nextcloud
-- ------------------------------------------------------
-- Server version	10.11.18-MariaDB-0+deb12u1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Table structure for table `oc_facerecog_clusters`
--

DROP TABLE IF EXISTS `oc_facerecog_clusters`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_facerecog_clusters` (
  `id` int(11) NOT NULL,
  `user` varchar(64) DEFAULT NULL,
  `model` int(11) DEFAULT NULL,
  `is_visible` tinyint(1) DEFAULT 1,
  `person` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_facerecog_clusters`
--

LOCK TABLES `oc_facerecog_clusters` WRITE;
/*!40000 ALTER TABLE `oc_facerecog_clusters` DISABLE KEYS */;
INSERT INTO `oc_facerecog_clusters` (`id`, `user`, `model`, `is_visible`, `person`) VALUES (1,'anna',1,1,7);
INSERT INTO `oc_facerecog_clusters` (`id`, `user`, `model`, `is_visible`, `person`) VALUES (2,'anna',1,0,NULL);
/*!40000 ALTER TABLE `oc_facerecog_clusters` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `oc_facerecog_faces`
--

DROP TABLE IF EXISTS `oc_facerecog_faces`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_facerecog_faces` (
  `id` int(11) NOT NULL,
  `image` int(11) DEFAULT NULL,
  `cluster` int(11) DEFAULT NULL,
  `x` int(11) DEFAULT NULL,
  `y` int(11) DEFAULT NULL,
  `width` int(11) DEFAULT NULL,
  `height` int(11) DEFAULT NULL,
  `confidence` double DEFAULT NULL,
  `descriptor` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL CHECK (json_valid(`descriptor`)),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_facerecog_faces`
--

LOCK TABLES `oc_facerecog_faces` WRITE;
/*!40000 ALTER TABLE `oc_facerecog_faces` DISABLE KEYS */;
INSERT INTO `oc_facerecog_faces` (`id`, `image`, `cluster`, `x`, `y`, `width`, `height`, `confidence`, `descriptor`) VALUES (1,10,1,1,2,3,4,0.99,'[1,2,3,4,5,6,7,8]');
INSERT INTO `oc_facerecog_faces` (`id`, `image`, `cluster`, `x`, `y`, `width`, `height`, `confidence`, `descriptor`) VALUES (2,11,NULL,1,2,3,4,0.99,'[2,3,4,5,6,7,8,9]');
INSERT INTO `oc_facerecog_faces` (`id`, `image`, `cluster`, `x`, `y`, `width`, `height`, `confidence`, `descriptor`) VALUES (3,11,2,1,2,3,4,0.99,'[3,4,5,6,7,8,9,10]');
/*!40000 ALTER TABLE `oc_facerecog_faces` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `oc_facerecog_images`
--

DROP TABLE IF EXISTS `oc_facerecog_images`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_facerecog_images` (
  `id` int(11) NOT NULL,
  `user` varchar(64) DEFAULT NULL,
  `file` int(11) DEFAULT NULL,
  `model` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_facerecog_images`
--

LOCK TABLES `oc_facerecog_images` WRITE;
/*!40000 ALTER TABLE `oc_facerecog_images` DISABLE KEYS */;
INSERT INTO `oc_facerecog_images` (`id`, `user`, `file`, `model`) VALUES (10,'anna',20,1);
INSERT INTO `oc_facerecog_images` (`id`, `user`, `file`, `model`) VALUES (11,'anna',21,1);
/*!40000 ALTER TABLE `oc_facerecog_images` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `oc_facerecog_persons`
--

DROP TABLE IF EXISTS `oc_facerecog_persons`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_facerecog_persons` (
  `id` int(11) NOT NULL,
  `user` varchar(64) DEFAULT NULL,
  `name` varchar(256) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_facerecog_persons`
--

LOCK TABLES `oc_facerecog_persons` WRITE;
/*!40000 ALTER TABLE `oc_facerecog_persons` DISABLE KEYS */;
INSERT INTO `oc_facerecog_persons` (`id`, `user`, `name`) VALUES (7,'anna','Zoë O\'Hara');
/*!40000 ALTER TABLE `oc_facerecog_persons` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `oc_filecache`
--

DROP TABLE IF EXISTS `oc_filecache`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_filecache` (
  `fileid` bigint(20) NOT NULL,
  `storage` bigint(20) DEFAULT NULL,
  `path` varchar(4000) DEFAULT NULL,
  PRIMARY KEY (`fileid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_filecache`
--

LOCK TABLES `oc_filecache` WRITE;
/*!40000 ALTER TABLE `oc_filecache` DISABLE KEYS */;
INSERT INTO `oc_filecache` (`fileid`, `storage`, `path`) VALUES (20,1,'files/Photos/a.jpg');
INSERT INTO `oc_filecache` (`fileid`, `storage`, `path`) VALUES (21,1,'files/b.jpg');
/*!40000 ALTER TABLE `oc_filecache` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Table structure for table `oc_users`
--

DROP TABLE IF EXISTS `oc_users`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `oc_users` (
  `uid` varchar(64) NOT NULL,
  `password` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`uid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `oc_users`
--

LOCK TABLES `oc_users` WRITE;
/*!40000 ALTER TABLE `oc_users` DISABLE KEYS */;
/*!40000 ALTER TABLE `oc_users` ENABLE KEYS */;
UNLOCK TABLES;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed
