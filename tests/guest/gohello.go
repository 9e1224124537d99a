// A static Go program: its own system calls, goroutines, garbage collector and signal handling.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

func main() {
	fmt.Println("hello", os.Args[1:])
	var group sync.WaitGroup
	results := make(chan int, 100)
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			time.Sleep(time.Duration(n%5) * time.Millisecond)
			results <- n * n
		}(i)
	}
	group.Wait()
	close(results)
	sum := 0
	for n := range results {
		sum += n
	}
	fmt.Println("sum", sum)

	// enough garbage for several collections
	var kept [][]byte
	for i := 0; i < 2000; i++ {
		block := make([]byte, 64<<10)
		block[i] = 1
		if i%100 == 0 {
			kept = append(kept, block)
		}
	}
	runtime.GC()
	fmt.Println("kept", len(kept))

	if err := os.WriteFile("/tmp/gohello", []byte(strings.Repeat("go ", 1000)), 0o644); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	data, _ := os.ReadFile("/tmp/gohello")
	fmt.Printf("%x\n", sha256.Sum256(data))
	os.Remove("/tmp/gohello")
	_, err := os.Open("/nonexistent/file")
	fmt.Println(err)

	text, _ := json.Marshal(map[string]interface{}{"b": 1, "a": []int{1, 2}})
	fmt.Println(string(text))
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *int
		fmt.Println(*p) // SIGSEGV, which the runtime turns into a panic
	}()
	names := []string{"z", "y", "x"}
	sort.Strings(names)
	fmt.Println(names)
}
