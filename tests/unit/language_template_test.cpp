#include "language_template.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using safe_exec::read_template;

namespace {

// The rebuilt template, or "" when it is refused. Read again, it is the same.
std::string rebuilt(std::string_view text) {
  const auto once = read_template(text);
  if (!once) {
    CHECK_FALSE(once.error().expected.empty());
    return "";
  }
  const auto twice = read_template(*once);
  REQUIRE(twice);
  CHECK(*twice == *once);
  return *once;
}

}  // namespace

TEST_CASE("go-template: actions are rebuilt with single spaces, text stays") {
  const std::pair<const char*, const char*> kTemplates[]{
      {"{{.ID}}", "{{.ID}}"},
      {"{{ .ID }}\t{{.Names}}", "{{.ID}}\t{{.Names}}"},
      {"table {{.ID}}  {{.Label \"com.x\"}}", "table {{.ID}}  {{.Label \"com.x\"}}"},
      {"json", "json"},
      {"{{json .}}", "{{json .}}"},
      {"{{ json .Config.Env | println }}", "{{json .Config.Env | println}}"},
      {"{{range .Mounts}}{{.Source}}{{\"\\n\"}}{{end}}", "{{range .Mounts}}{{.Source}}{{\"\\n\"}}{{end}}"},
      {"{{range $k,$v := .Labels}}{{$k}}={{$v.X}} {{else}}none{{end}}",
       "{{range $k, $v := .Labels}}{{$k}}={{$v.X}} {{else}}none{{end}}"},
      {"{{if and (eq .A \"b\") (not .C)}}x{{else if .D}}y{{else}}z{{end}}",
       "{{if and (eq .A \"b\") (not .C)}}x{{else if .D}}y{{else}}z{{end}}"},
      {"{{- with (index .N \"a\").IP -}} {{.}} {{- end -}}", "{{- with (index .N \"a\").IP -}} {{.}} {{- end -}}"},
      {"{{$x := .A}}{{$x = 5}}{{$}}{{$.B}}", "{{$x := .A}}{{$x = 5}}{{$}}{{$.B}}"},
      {"{{printf \"%-10s|%5.2f%%\" .A .B}}", "{{printf \"%-10s|%5.2f%%\" .A .B}}"},
      {"{{range .A}}{{break}}{{continue}}{{end}}", "{{range .A}}{{break}}{{continue}}{{end}}"},
      {"{{-5}}{{`raw`}}{{'c'}}{{true}}{{1.5}}", "{{-5}}{{`raw`}}{{'c'}}{{true}}{{1.5}}"},
      {"{{index .A 0 | upper}}}}", "{{index .A 0 | upper}}}}"},
  };
  for (const auto& [text, expected] : kTemplates) {
    CAPTURE(text);
    CHECK(rebuilt(text) == expected);
  }
}

TEST_CASE("go-template: what is not listed, closed or plain is refused") {
  for (const char* text : {"{{call .F}}",
                           "{{.A | call}}",
                           "{{template \"x\"}}",
                           "{{define \"x\"}}{{end}}",
                           "{{block \"x\" .}}{{end}}",
                           "{{js .}}",
                           "{{env}}",
                           "{{env \"PATH\"}}",
                           "{{(env \"PATH\")}}",
                           "{{.A | env}}",
                           "{{if env}}{{end}}",
                           "{{range $i := env}}{{end}}",
                           "{{$x := env}}",
                           "{{printf \"%p\" .}}",
                           "{{printf .F .A}}",
                           "{{printf \"%*d\" 1 2}}",
                           "{{printf \"%[1]p\" .}}",
                           "{{printf \"%",
                           "{{",
                           "{{}}",
                           "{{ }}",
                           "{{.A",
                           "{{.A}",
                           "{{/* comment */}}",
                           "{{end}}",
                           "{{if .A}}",
                           "{{if}}{{end}}",
                           "{{else}}",
                           "{{if .A}}{{else}}{{else}}{{end}}",
                           "{{range .A}}{{end}}{{break}}",
                           "{{(.A}}",
                           "{{.A)}}",
                           "{{\"a}}",
                           "{{\"\\q\"}}",
                           "{{`a}}",
                           "{{\"a\nb\"}}",
                           "{{.A .B | }}",
                           "{{| .A}}",
                           "{{.A\"b\"}}",
                           "{{..A}}",
                           "{{\"a\".B}}",
                           "{{$x := }}",
                           "{{$a, $b, $c := .X}}",
                           "{{range $a, $b}}{{end}}",
                           "{{.A;.B}}",
                           "{{@}}",
                           "{{-.A}}",
                           "{{.A-}}",
                           "-x",
                           "-{{.A}}",
                           "{{html5 .}}"}) {
    CAPTURE(text);
    CHECK(rebuilt(text).empty());
  }
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "{{if .A}}";
  for (int i = 0; i < 40; ++i) deep += "{{end}}";
  CHECK(rebuilt(deep).empty());
  CHECK(rebuilt("{{" + std::string(100, '(') + ".A" + std::string(100, ')') + "}}").empty());
  CHECK(rebuilt(std::string(20000, 'x')).empty());
}
