package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scan writes the files and returns what is found in them, as "PATH:LINE CALL".
func scan(t *testing.T, files map[string]string) (audit.Report, []string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := audit.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range report.Files {
		for _, f := range file.Findings {
			found = append(found, fmt.Sprintf("%s:%d %s", file.Path, f.Line, f.Call))
		}
	}
	return report, found
}

// sourceTests have one file each; want lists "LINE CALL".
type sourceTest struct {
	name, src string
	want      []string
}

func runSources(t *testing.T, file string, tests []sourceTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			report, found := scan(t, map[string]string{file: test.src})
			var got []string
			for _, f := range found {
				got = append(got, strings.TrimPrefix(f, file+":"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(report.Problems) > 0 {
				t.Error(report.Problems, diff)
			}
		})
	}
}

func TestGo(t *testing.T) {
	t.Parallel()

	runSources(t, "main.go", []sourceTest{
		{
			"Version2", `package main

import (
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func main() {
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://h"))
	_, _ = client, err
}
`, []string{"9 mongo.Connect"},
		},
		{"Version1UnderAnotherName", `package main
import driver "go.mongodb.org/mongo-driver/mongo"
var a, b = driver.NewClient(nil)
func main() { f := driver.Connect; _ = f }
`, []string{"3 mongo.NewClient", "4 mongo.Connect"}},
		{"ImportedWithADot", `package main
import . "go.mongodb.org/mongo-driver/v2/mongo"
func main() { Connect(nil) }
`, []string{"3 mongo.Connect"}},
		{"Mgo", `package main
import "gopkg.in/mgo.v2"
func main() { mgo.Dial("h") }
`, []string{"3 mgo.Dial"}},
		{"AVariableOfThatNameIsNone", `package main
import "go.mongodb.org/mongo-driver/v2/mongo"
type fake struct{}
func (fake) Connect() {}
func f(c *mongo.Client) {}
func main() {
	mongo := fake{}
	mongo.Connect() // mongo.Connect()
	_ = "mongo.Connect()"
}
`, nil},
		{"AnotherPackageOfThatName", `package main
import "example.com/mongo"
func main() { mongo.Connect() }
`, nil},
	})

	t.Run("WhatIsNoGoIsAProblem", func(t *testing.T) {
		t.Parallel()
		report, _ := scan(t, map[string]string{"a.go": "package", "b.go": "package b"})
		if len(report.Problems) != 1 || report.Problems[0].Path != "a.go" || report.Scanned != 2 {
			t.Errorf("%+v", report)
		}
	})
}

func TestJavaScript(t *testing.T) {
	t.Parallel()

	runSources(t, "old.js", []sourceTest{
		{"Mongoose", "const mongoose = require('mongoose');\nasync function main() {\n  await mongoose.connect(process.env.URI);\n}", []string{"3 mongoose.connect"}},
		{"MongooseUnderAnotherName", "import goose from 'mongoose';\nconst c = goose.createConnection('x');", []string{"2 mongoose.createConnection"}},
		{"ConnectByItself", "import { connect as open, Schema } from \"mongoose\";\nopen('x');\nconnect();", []string{"2 mongoose.connect"}},
		{"Client", "const { MongoClient } = require('mongodb');\nconst client = new MongoClient(uri);\nawait client.connect();", []string{"2 new MongoClient"}},
		{"ClientUnderAnotherName", "const { MongoClient: Client } = require('mongodb');\nClient.connect(uri, cb);", []string{"2 MongoClient.connect"}},
		{"ClientOfTheModule", "const mongodb = require('mongodb');\nnew mongodb.MongoClient(uri);\nmongodb.MongoClient.connect(uri);", []string{"2 new MongoClient", "3 MongoClient.connect"}},
		{"MemberOfRequire", "const MC = require('mongodb').MongoClient;\nMC.connect(uri);", []string{"2 MongoClient.connect"}},
		{"AtOnce", "require('mongoose').connect(uri);\nnew (require('mongodb').MongoClient)(uri);", []string{"1 mongoose.connect", "2 new MongoClient"}},
		{"Dynamic", "const { default: m } = await import('mongoose');\nm.connect(uri);\nconst x = (await import('mongoose')).default;\nx.connect(uri)", []string{"2 mongoose.connect", "4 mongoose.connect"}},
		{"Namespace", "import * as m from 'mongoose'\nm.default.connect(uri)", []string{"2 mongoose.connect"}},
		{"DefaultAndMembers", "import m, { Schema } from 'mongoose'\nm.connect(uri)", []string{"2 mongoose.connect"}},
		{"FromAParameter", "module.exports = (mongoose) => mongoose.connect(uri);", []string{"1 mongoose.connect"}},
		{"Optional", "import m from 'mongoose';\nm?.connect?.(uri);", []string{"2 mongoose.connect"}},
		{"InATemplate", "import m from 'mongoose';\nlog(`a ${ m.connect(`${u}`) } b`);", []string{"2 mongoose.connect"}},
		{"BehindARegularExpression", "import m from 'mongoose';\nconst re = /['\"`//*]/;\nm.connect(u); const q = a / b; m.connect(v) / 2;", []string{"3 mongoose.connect", "3 mongoose.connect"}},
		{"CommentsAndStringsAreNone", "// mongoose.connect(x)\n/* new MongoClient(\n mongoose.connect( */\nconst s = \"mongoose.connect(u)\" + 'new MongoClient(u)' + `mongoose.connect(u)`;", nil},
		{"AnotherModuleOfThatName", "const mongoose = require('./fake');\nmongoose.connect();\nimport { MongoClient } from './fake.js';\nnew MongoClient();", nil},
		{"OtherThingsAreNone", "import mongoose from 'mongoose';\nmongoose.connection.close(); socket.connect(uri); mongoose.model('x'); obj.mongoose.connect(u); const o = { connect: 1 };", nil},
		{"ScriptOfTheShell", "db = connect('mongodb://h/x');\nconst c = new Mongo(uri);", []string{"1 connect", "2 new Mongo"}},
		{"NotOfTheShell", "const net = require('net');\nconnect('mongodb://h/x'); new Mongo(u);", nil},
	})
	runSources(t, "old.ts", []sourceTest{
		{"TypesAreNone", "import type { MongoClient } from 'mongodb';\nexport function f(c: MongoClient): void {}", nil},
		{"ImportRequire", "import mongoose = require('mongoose');\nmongoose.connect(u);", []string{"2 mongoose.connect"}},
		{"MixedImport", "import { type Db, MongoClient } from 'mongodb';\nconst c: MongoClient = new MongoClient(u);", []string{"2 new MongoClient"}},
	})
}

func TestShell(t *testing.T) {
	t.Parallel()

	runSources(t, "old.sh", []sourceTest{
		{"Plain", "#!/bin/sh\nset -e\nmongosh \"$URI\" --eval 'db.x.drop()'\n", []string{"3 mongosh"}},
		{"OldShellWithAPath", "/usr/bin/mongo shop < fix.js", []string{"1 mongo"}},
		{"BehindAssignmentsAndKeywords", "if A=1 mongosh x; then\n  ! mongo y && mongosh z\nfi", []string{"1 mongosh", "2 mongo", "2 mongosh"}},
		{"InASubstitution", "n=$(mongosh --quiet --eval 'db.x.count()')\necho \"there are $(mongosh x) of `mongo y`\"", []string{"1 mongosh", "2 mongosh", "2 mongo"}},
		{"Launched", "sudo -u me timeout 5 mongosh x\ndocker exec -it mongo mongosh x\necho y | xargs mongo", []string{"1 mongosh", "2 mongosh", "3 mongo"}},
		{"InAPipe", "cat fix.js | mongosh x > log", []string{"1 mongosh"}},
		{"ContinuedLine", "exec \\\n  mongosh \\\n  x", []string{"2 mongosh"}},
		{"HereDocument", "mongosh x <<'EOF'\nmongosh y\nEOF\ncat <<-END\n\tmongo z\n\tEND\nmongo w", []string{"1 mongosh", "7 mongo"}},
		{"WordsAreNone", "# mongosh x\necho mongosh mongo\nfor m in mongo mongosh; do :; done\ndocker stop mongo\napt-get install mongosh\nwhich mongosh\nmongodump x\nMONGO=mongo", nil},
		{"ThatDoesNotConnectIsNone", "mongosh --version\nmongosh --nodb fix.js", nil},
		{"TargetsAreNone", "echo x > mongosh\nrun 2>> mongo", nil},
		{"Unfinished", "echo \"$(mongosh 'x", []string{"1 mongosh"}},
	})
}

func TestScan(t *testing.T) {
	t.Parallel()

	t.Run("KnowsScriptsWithoutAnEndingAndLeavesTestsAndDependenciesOut", func(t *testing.T) {
		t.Parallel()
		const connects = "require('mongoose').connect(u)\n"
		report, found := scan(t, map[string]string{
			"bin/fix": "#!/usr/bin/env bash\nmongosh x\n", "bin/seed": "#!/usr/bin/env node\n" + connects,
			"bin/shell": "#!/usr/bin/env mongosh\ndb.x.drop()\n", "bin/data": connects, "README.md": connects,
			"a.test.js": connects, "node_modules/m/index.js": connects, "vendor/v.js": connects, ".git/hooks/x.sh": "mongosh x",
			"x_test.go": "package x", "lib.min.js": connects, "ok.mjs": "console.log(1)\n",
		})
		if diff := cmp.Diff([]string{"bin/fix:2 mongosh", "bin/seed:2 mongoose.connect", "bin/shell:1 mongosh"}, found); diff != "" {
			t.Error(diff)
		}
		if report.Scanned != 4 || report.Findings() != 3 {
			t.Errorf("%d scanned, %d found", report.Scanned, report.Findings())
		}
	})

	t.Run("CountsTheLinesAboutTheConnection", func(t *testing.T) {
		t.Parallel()
		report, _ := scan(t, map[string]string{
			"old.js": "const mongoose = require('mongoose');\nawait mongoose.connect(process.env.MONGODB_URI);\nawait work();\nawait mongoose.disconnect();\n",
			"old.sh": "#!/bin/sh\n\nmongosh x\necho done\n",
		})
		if code, connection := report.Lines(); code != 5 || connection != 3 {
			t.Errorf("%d lines, %d about the connection; want 5 and 3", code, connection)
		}
	})

	t.Run("OneFileAlone", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "old.sh")
		if err := os.WriteFile(path, []byte("mongosh x"), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Scan(t.Context(), path)
		if err != nil || report.Findings() != 1 || report.Files[0].Path != "old.sh" {
			t.Errorf("%+v, %v", report, err)
		}
	})

	t.Run("NothingThere", func(t *testing.T) {
		t.Parallel()
		if _, err := audit.Scan(t.Context(), filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
			t.Error(err)
		}
	})
}

// FuzzSources feeds the scanners with whatever: they must end, and point into the file.
func FuzzSources(f *testing.F) {
	f.Add("x.js", "`${`${'a")
	f.Add("x.js", "import {")
	f.Add("x.sh", "\"$(`'<<")
	f.Add("x.sh", "a <<E\nb")
	f.Add("x.js", "const {a:b} = require('mongodb')\nnew b(")
	f.Fuzz(func(t *testing.T, name, src string) {
		ext := filepath.Ext(name)
		if ext != ".js" && ext != ".sh" {
			return
		}
		path := filepath.Join(t.TempDir(), "x"+ext)
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Scan(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range report.Files {
			for _, found := range file.Findings {
				if found.Line < 1 || found.Line > 1+strings.Count(src, "\n") || found.Column < 1 {
					t.Fatalf("%+v is outside of %q", found, src)
				}
			}
		}
	})
}
