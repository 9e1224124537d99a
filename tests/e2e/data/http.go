// A server and its clients over loopback: keep-alive, chunks, time limits, cancelled requests, and goroutines that compute meanwhile.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", r.Method, len(b))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < 50; i++ {
			fmt.Fprint(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	base := "http://" + l.Addr().String()

	var spin int32 = 1 // never calls anything: only preemption gets the CPU from it
	go func() {
		for n := 0; atomic.LoadInt32(&spin) != 0; n++ {
		}
	}()

	var wg sync.WaitGroup
	var total int64
	for i := 0; i < 20; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for k := 0; k < 20; k++ {
				r, err := http.Post(base+"/echo", "text/plain", strings.NewReader(strings.Repeat("a", i*1000)))
				if err != nil {
					fmt.Println(err)
					return
				}
				b, _ := io.ReadAll(r.Body)
				r.Body.Close()
				var n int64
				fmt.Sscanf(string(b), "POST %d", &n)
				atomic.AddInt64(&total, n)
			}
		}(i)
	}
	wg.Wait()
	atomic.StoreInt32(&spin, 0)
	fmt.Println("posted", total)

	r, err := http.Get(base + "/chunks")
	n, _ := io.Copy(io.Discard, r.Body)
	fmt.Println("chunks", n, err)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	q, _ := http.NewRequestWithContext(ctx, "GET", base+"/slow", nil)
	_, err = http.DefaultClient.Do(q)
	fmt.Println("slow", err != nil && ctx.Err() == context.DeadlineExceeded)

	var garbage [][]byte
	for i := 0; i < 200; i++ {
		garbage = append(garbage[:i%20], make([]byte, 1<<20))
		runtime.Gosched()
	}
	runtime.GC()
	out, err := exec.Command("sh", "-c", "echo from a shell; exit 3").CombinedOutput()
	fmt.Println(strings.TrimSpace(string(out)), err, len(garbage) > 0)
	fmt.Println("shut down", server.Shutdown(context.Background()))
	_, err = http.Get(base + "/echo")
	fmt.Println("refused", err != nil && strings.Contains(err.Error(), "connection refused"))
}
