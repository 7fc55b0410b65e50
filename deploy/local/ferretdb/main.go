// Command ferretdb serves the MongoDB wire protocol from a SQLite folder, for tests and for trying the
// production profile on a machine without MongoDB or Docker.
//
// It prints its address (mongodb://127.0.0.1:PORT/) on standard output once it listens, and stops on SIGTERM,
// on SIGINT, and when its standard input ends, so that it does not outlive the process that started it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// What an insertion of many documents would write to a file of its own stays in memory, and pages that change again
// and again are copied into the database every 32 MB of the log, not every 4. Commits reach the disk as before.
var pragmas = url.Values{"_pragma": {"temp_store(memory)", "wal_autocheckpoint(8000)"}}

func main() {
	log.SetFlags(0)
	log.SetPrefix("ferretdb: ")

	if os.Getenv("GOGC") == "" {
		// The heap is small and turns over quickly: some more of it costs a seventh less CPU.
		debug.SetGCPercent(500)
	}

	listen := flag.String("listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a spare one")
	data := flag.String("data", "", "`folder` for the data; made when missing")
	flag.Parse()

	if *data == "" {
		log.Fatal("-data is required")
	}
	if err := run(*listen, *data); err != nil {
		log.Fatal(err)
	}
}

func run(listen, data string) error {
	folder, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(folder, 0o700); err != nil {
		return err
	}

	errors := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	// An embedded server starts no telemetry reporter and asks for no update.
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Handler:   "sqlite",
		SQLiteURL: (&url.URL{Scheme: "file", Path: folder + "/", RawQuery: pragmas.Encode()}).String(),
		Logger:    slog.New(lazy{Handler: errors}),
	})
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	fmt.Println(server.MongoDBURI())

	return <-done
}
