// The original system's algorithm without its processes: two map tasks that split text into words
// and keep every pair, fnv32a to choose one of two reducers, a text file for each of the four
// intermediates, and reducers that gather all values of a key before they add them up.
// With "pairs" as third argument lines are `key<TAB>int` in place of text.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
)

const tasks, reducers = 2, 2

type pair struct {
	key   string
	value int
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func partition(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32()&0x7fffffff) % reducers
}

func pairsOf(text string, numbers bool) []pair {
	var found []pair
	if !numbers {
		for _, word := range strings.Fields(text) {
			found = append(found, pair{word, 1})
		}
		return found
	}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, "\t"); ok {
			number, err := strconv.Atoi(value)
			check(err)
			found = append(found, pair{key, number})
		}
	}
	return found
}

func mapTask(text, out string, task int, numbers bool) {
	var writers [reducers]*bufio.Writer
	for r := range writers {
		file, err := os.Create(fmt.Sprintf("%s/.mr-%d-%d", out, task, r))
		check(err)
		defer file.Close()
		writers[r] = bufio.NewWriter(file)
		defer writers[r].Flush()
	}
	for _, p := range pairsOf(text, numbers) {
		fmt.Fprintf(writers[partition(p.key)], "%s %d\n", p.key, p.value)
	}
}

func reduceTask(out string, r int) {
	values := map[string][]int{}
	for task := 0; task < tasks; task++ {
		name := fmt.Sprintf("%s/.mr-%d-%d", out, task, r)
		data, err := os.ReadFile(name)
		check(err)
		for _, line := range strings.Split(string(data), "\n") {
			if key, value, ok := strings.Cut(line, " "); ok {
				number, err := strconv.Atoi(value)
				check(err)
				values[key] = append(values[key], number)
			}
		}
		check(os.Remove(name))
	}
	file, err := os.Create(fmt.Sprintf("%s/part-%d", out, r))
	check(err)
	defer file.Close()
	writer := bufio.NewWriter(file)
	defer writer.Flush()
	for key, numbers := range values {
		sum := 0
		for _, n := range numbers {
			sum += n
		}
		fmt.Fprintf(writer, "%s\t%d\n", key, sum)
	}
}

func main() {
	data, err := os.ReadFile(os.Args[1])
	check(err)
	out := os.Args[2]
	numbers := len(os.Args) > 3 && os.Args[3] == "pairs"
	middle := len(data)/2 + bytes.IndexByte(data[len(data)/2:], '\n') + 1
	halves := []string{string(data[:middle]), string(data[middle:])}
	data = nil
	var group sync.WaitGroup
	for task, text := range halves {
		group.Add(1)
		go func() { defer group.Done(); mapTask(text, out, task, numbers) }()
	}
	group.Wait()
	halves = nil
	for r := 0; r < reducers; r++ {
		group.Add(1)
		go func() { defer group.Done(); reduceTask(out, r) }()
	}
	group.Wait()
}
