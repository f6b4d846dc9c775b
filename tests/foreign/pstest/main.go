// Starts pstest, the Pub/Sub server of Google's Go client library, on a free port of this machine,
// says on standard output which one, and serves until standard input ends or a signal comes.
package main

import (
	"fmt"
	"io"
	"os"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	server := pstest.NewServer()
	fmt.Printf("export PUBSUB_EMULATOR_HOST=%s\n", server.Addr)
	// Whoever started this holds the other end; when they are gone, so is the reason to serve.
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
