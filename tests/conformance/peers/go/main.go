// Command peer is a real HTTP server and a real HTTP client, of Go's net/http, for the tests.
//
//	peer serve ADDRESS               HTTP/1.1, HTTP/2 with prior knowledge, and HTTP/2 by upgrade
//	peer record ADDRESS              HTTP/1.1; prints port of the client, method and target of every request
//	peer call URL OUT CALL...        HTTP/2 with prior knowledge; a CALL is three words: METHOD PATH SIZE
//
// The server answers GET /small with "small\n", everything else with the body it got, and adds the trailer x-end. It
// prints one line per request that it has processed: method, target, length of the body, and the trailer x-sent or "-".
// The client sends bodies of SIZE bytes with the trailer x-sent, the first call alone and the others all at once. It
// writes the body of answer n to OUT/n and prints a line for each: status, HTTP version, and the trailer x-end or "-".
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	log.SetFlags(0)
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		log.Fatal(serve(os.Args[2]))
	case len(os.Args) == 3 && os.Args[1] == "record":
		log.Fatal(record(os.Args[2]))
	case len(os.Args) > 4 && os.Args[1] == "call" && len(os.Args)%3 == 1:
		if err := call(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal("usage: peer serve|record ADDRESS | peer call URL OUT (METHOD PATH SIZE)...")
	}
}

func serve(address string) error {
	var printing sync.Mutex
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		printing.Lock()
		fmt.Println(r.Method, r.RequestURI, len(body), or(r.Trailer.Get("x-sent"), "-"))
		printing.Unlock()
		if err != nil {
			return
		}
		if r.URL.Path == "/small" {
			body = []byte("small\n")
		}
		w.Header().Set("trailer", "x-end")
		w.WriteHeader(http.StatusOK)
		w.Write(body)
		w.Header().Set("x-end", "yes")
	})
	// h2c takes the preface and the upgrade off connections; the rest is HTTP/1.1.
	server := &http.Server{Addr: address, Handler: h2c.NewHandler(handler, &http2.Server{})}
	// nghttp upgrades with OPTIONS *, which net/http would answer itself.
	server.DisableGeneralOptionsHandler = true
	return server.ListenAndServe()
}

func record(address string) error {
	server := &http.Server{Addr: address, DisableGeneralOptionsHandler: true}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(r.RemoteAddr)
		// One write per line, so that those of two connections do not mix.
		os.Stdout.WriteString(port + " " + r.Method + " " + r.RequestURI + "\n")
		io.WriteString(w, "ok\n")
	})
	return server.ListenAndServe()
}

type answer struct {
	line string
	err  error
}

func call(url, out string, words []string) error {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	answers := make([]answer, len(words)/3)
	var all sync.WaitGroup
	for n := range answers {
		one := func() {
			method, path, size, file := words[3*n], words[3*n+1], words[3*n+2], filepath.Join(out, strconv.Itoa(n))
			answers[n].line, answers[n].err = once(client, method, url+path, size, file)
		}
		if n == 0 {
			one()
		} else {
			all.Go(one)
		}
	}
	all.Wait()
	for _, a := range answers {
		if a.err != nil {
			return a.err
		}
		fmt.Println(a.line)
	}
	return nil
}

func once(client *http.Client, method, url, size, out string) (string, error) {
	length, err := strconv.Atoi(size)
	if err != nil {
		return "", err
	}
	body := make([]byte, length)
	for i := range body {
		body[i] = byte(i % 251)
	}
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if length > 0 {
		request.ContentLength = -1
		request.Trailer = http.Header{"X-Sent": {"yes"}}
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(out, got, 0o644); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d %s", response.StatusCode, response.ProtoMajor, or(response.Trailer.Get("x-end"), "-")), nil
}

func or(value, instead string) string {
	if value == "" {
		return instead
	}
	return value
}
