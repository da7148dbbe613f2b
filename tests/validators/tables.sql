create table one (id int primary key, word text);
insert into one select n, 'word ' || n || repeat(md5(n::text), n % 7) from generate_series(1, 1500) n;
create table two (id int references one, bytes bytea);
insert into two select n, decode(repeat(md5(n::text), 9), 'hex') from generate_series(1, 200) n;
create table nothing (id int);
create table wide (a text);
insert into wide select string_agg(md5(n::text), '') from generate_series(1, 2000) n;
create view seen as select * from one;
create materialized view kept as select * from two;
create sequence counter;
create function twice(n int) returns int language sql as 'select 2 * n';
create index words on one (word);
comment on table one is 'a comment
-- PostgreSQL database dump complete
of three lines';
select lo_from_bytea(0, 'a large object'), lo_from_bytea(0, '');
select lo_from_bytea(3000000000, decode(repeat('00ff10', 9000), 'hex'));
create database second;
create role another;
