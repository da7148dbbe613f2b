--
-- PostgreSQL database cluster dump
--

\restrict VhHnJq6GxiLJkQkVQDF5RvYUHb9SDga64KhZ1G8LoxLx3Y5ZJdCukADoRge49NT

SET default_transaction_read_only = off;

SET client_encoding = 'SQL_ASCII';
SET standard_conforming_strings = on;

--
-- Roles
--

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;

--
-- User Configurations
--








\unrestrict VhHnJq6GxiLJkQkVQDF5RvYUHb9SDga64KhZ1G8LoxLx3Y5ZJdCukADoRge49NT

--
-- Databases
--

--
-- Database "template1" dump
--

\connect template1

--
-- PostgreSQL database dump
--

\restrict IYsC4hVvqQDcIzTizG8G2UaKJqT1qQkVc6Ybts45BFCl9mm9hoKrOIeZx37SWVI

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'SQL_ASCII';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- PostgreSQL database dump complete
--

\unrestrict IYsC4hVvqQDcIzTizG8G2UaKJqT1qQkVc6Ybts45BFCl9mm9hoKrOIeZx37SWVI

--
-- Database "postgres" dump
--

\connect postgres

--
-- PostgreSQL database dump
--

\restrict yFced7W3XyZ4JZ0XeMqfeinfjr8ghzruofw3CMSe5K9PNVxsjr8m2btKkDNUSFN

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'SQL_ASCII';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: counter; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.counter
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.counter OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: nothing; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nothing (
    id integer
);


ALTER TABLE public.nothing OWNER TO postgres;

--
-- Name: one; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.one (
    id integer NOT NULL,
    word text
);


ALTER TABLE public.one OWNER TO postgres;

--
-- Name: seen; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.seen AS
 SELECT one.id,
    one.word
   FROM public.one;


ALTER TABLE public.seen OWNER TO postgres;

--
-- Name: two; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.two (
    id integer
);


ALTER TABLE public.two OWNER TO postgres;

--
-- Name: 16407; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16407');


ALTER LARGE OBJECT 16407 OWNER TO postgres;

--
-- Name: 16408; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16408');


ALTER LARGE OBJECT 16408 OWNER TO postgres;

--
-- Name: 3000000000; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('3000000000');


ALTER LARGE OBJECT 3000000000 OWNER TO postgres;

--
-- Data for Name: nothing; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.nothing (id) FROM stdin;
\.


--
-- Data for Name: one; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.one (id, word) FROM stdin;
1	word 1
2	word 2
3	word 3
4	word 4
5	word 5
6	word 6
7	word 7
8	word 8
9	word 9
10	word 10
11	word 11
12	word 12
13	word 13
14	word 14
15	word 15
16	word 16
17	word 17
18	word 18
19	word 19
20	word 20
21	word 21
22	word 22
23	word 23
24	word 24
25	word 25
26	word 26
27	word 27
28	word 28
29	word 29
30	word 30
31	word 31
32	word 32
33	word 33
34	word 34
35	word 35
36	word 36
37	word 37
38	word 38
39	word 39
40	word 40
\.


--
-- Data for Name: two; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.two (id) FROM stdin;
1
2
\.


--
-- Name: counter; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.counter', 1, false);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('16407', 131072);
SELECT pg_catalog.lowrite(0, '\x61206c61726765206f626a656374');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('16408', 131072);
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('3000000000', 131072);
SELECT pg_catalog.lowrite(0, '\x6f6e6520776974682061206c61726765206e756d626572');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: one one_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.one
    ADD CONSTRAINT one_pkey PRIMARY KEY (id);


--
-- Name: two two_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.two
    ADD CONSTRAINT two_id_fkey FOREIGN KEY (id) REFERENCES public.one(id);


--
-- PostgreSQL database dump complete
--

\unrestrict yFced7W3XyZ4JZ0XeMqfeinfjr8ghzruofw3CMSe5K9PNVxsjr8m2btKkDNUSFN

--
-- PostgreSQL database cluster dump complete
--

