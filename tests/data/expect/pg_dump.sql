--
-- PostgreSQL database dump
--

\restrict 3GCAyqPkDg5BqSfrLlAx7ysTetPVnaUL7f4RJU4uGF2ae0EnmPsjCKE8QyCKrFL

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

\unrestrict 3GCAyqPkDg5BqSfrLlAx7ysTetPVnaUL7f4RJU4uGF2ae0EnmPsjCKE8QyCKrFL

