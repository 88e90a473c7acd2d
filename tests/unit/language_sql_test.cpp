#include "language_sql.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using safe_exec::read_sql;

namespace {

// The rebuilt statement, or "" when it is refused. Read again, it is the same.
std::string rebuilt(std::string_view statement) {
  const auto once = read_sql(statement);
  if (!once) {
    CHECK_FALSE(once.error().expected.empty());
    return "";
  }
  const auto twice = read_sql(*once);
  REQUIRE(twice);
  CHECK(*twice == *once);
  return *once;
}

}  // namespace

TEST_CASE("sql-read: a statement is rebuilt with single spaces") {
  const std::pair<const char*, const char*> kStatements[]{
      {"select 1;", "select 1"},
      {"SELECT * FROM t WHERE a='it''s' LIMIT 5", "SELECT * FROM t WHERE a = 'it''s' LIMIT 5"},
      {"SELECT t.a,count( * ) FROM main.\"t x\" AS t\nGROUP BY 1",
       "SELECT t.a, count(*) FROM main.\"t x\" AS t GROUP BY 1"},
      {"VALUES (1,2),(3,4)", "VALUES (1, 2), (3, 4)"},
      {"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 3), d(y) AS (SELECT 2) SELECT x FROM c", ""},
      {"EXPLAIN QUERY PLAN SELECT 1", "EXPLAIN QUERY PLAN SELECT 1"},
      {"explain select 1", "explain select 1"},
      {"PRAGMA table_info(t)", "PRAGMA table_info(t)"},
      {"pragma main.index_list('t')", "pragma main.index_list('t')"},
      {"PRAGMA user_version", "PRAGMA user_version"},
      {"SELECT name FROM pragma_table_info('t')", "SELECT name FROM pragma_table_info('t')"},
      {"SELECT a->>'$.b', x'00ff', 0x1F, 1.5e3, -1, a||b, CASE WHEN a<>1 THEN 2 ELSE 3 END FROM t", ""},
      {"SELECT sum(a) OVER (PARTITION BY b) FROM t WHERE a IN (1,2) AND EXISTS (SELECT 1)", ""},
      {"SELECT replace(a,'x','y'), [odd name], `b` FROM t ORDER BY a DESC", ""},
      {"SELECT 1 - -1", "SELECT 1 - - 1"},
      {"SELECT * FROM json_each('[1]')", "SELECT * FROM json_each('[1]')"},
      {"SELECT sql FROM sqlite_master", "SELECT sql FROM sqlite_master"},
  };
  for (const auto& [statement, expected] : kStatements) {
    CAPTURE(statement);
    const std::string answer = rebuilt(statement);
    CHECK_FALSE(answer.empty());
    if (*expected != '\0') CHECK(answer == expected);
  }
}

TEST_CASE("sql-read: nothing that writes, reaches out of the database or is a second statement") {
  for (const char* statement : {"",
                                ";",
                                "select 1; select 2",
                                "select 1;;",
                                "select 1; drop table t",
                                ".shell id",
                                ".tables",
                                "insert into t values (1)",
                                "update t set a=1",
                                "delete from t",
                                "replace into t values (1)",
                                "drop table t",
                                "create table t(a)",
                                "attach 'x' as y",
                                "vacuum into 'x'",
                                "with c as (select 1) insert into t select * from c",
                                "with c as (select 1) delete from t",
                                "WITH c(x) AS (SELECT 1)",
                                "with insert(x) as (select 1) select 1",
                                "explain delete from t",
                                "explain",
                                "explain pragma user_version",
                                "select load_extension('x')",
                                "select LOAD_EXTENSION('x')",
                                "select writefile('x','y')",
                                "select readfile('/etc/passwd')",
                                "select edit('x')",
                                "select fts3_tokenizer('x')",
                                "select \"writefile\"('x','y')",
                                "select [readfile]('x')",
                                "select `readfile`('x')",
                                "select readfile ('x')",
                                "select readfile\n('x')",
                                "select (select readfile('x'))",
                                "select * from fsdir('/')",
                                "select * from fsdir where path='/'",
                                "select * from \"fsdir\"",
                                "select * from 'fsdir'",
                                "select * from FSDIR",
                                "select * from [zipfile]",
                                "select * from zipfile('x')",
                                "select * from pragma_journal_mode('wal')",
                                "select * from pragma_user_version where arg=5",
                                "select * from pragma_evil_list",
                                "select * from pragma_wal_checkpoint",
                                "pragma journal_mode=wal",
                                "pragma user_version(5)",
                                "pragma user_version=5",
                                "pragma writable_schema=1",
                                "pragma table_info=t",
                                "pragma table_info(t);select 1",
                                "pragma table_info(t) select",
                                "pragma temp_store_directory('x')",
                                "pragma",
                                "pragma main.",
                                "pragma 'x'.table_info(t)",
                                "select 1 -- x",
                                "select 1 /* x */",
                                "select 1--",
                                "select ?",
                                "select :a",
                                "select @a",
                                "select $a",
                                "select a$b",
                                "select '",
                                "select \"a",
                                "select [a",
                                "select (1",
                                "select 1)",
                                "select #",
                                "select \\",
                                "select 1a",
                                "select 1.2.3",
                                "select 0x",
                                "select 1e",
                                "select {1}",
                                "select evil(1)",
                                "select x from t(1)",
                                "select count(*) from t, readfile('x')",
                                "with readfile(x) as (select 1), writefile(y) as (select 1) delete from t",
                                "select * into x from t",
                                "select a from t returning b",
                                "begin",
                                "analyze"}) {
    CAPTURE(statement);
    CHECK(rebuilt(statement).empty());
  }
  CHECK(rebuilt("select " + std::string(100, '(') + "1" + std::string(100, ')')).empty());
  CHECK(rebuilt("select '" + std::string(20000, 'a') + "'").empty());
}
